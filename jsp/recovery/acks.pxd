# C types of acks.py.
import cython
from jsp.wire.ranges cimport RangeSet

cdef long long _WINDOW
cdef long long _REORDERING_MAX
cdef long long _SHORT_MAX


cdef class AckTracker:
    cdef long long _ack_floor
    cdef list _filled
    cdef long long _floor
    cdef double _largest_time
    cdef long long _marks_known
    cdef long long _requested
    cdef long long _told
    cdef bint _urgent
    cdef public long long ce
    cdef public double deadline
    cdef public long long ect0
    cdef public long long ect1
    cdef public long long largest
    cdef public double max_delay
    cdef public long long packets
    cdef public long long pending
    cdef public RangeSet ranges
    cdef public long long reordering

    cpdef bint is_new(self, long long number) except? -1
    cpdef bint accept(self, long long number, double now) except? -1
    cpdef on_request(self, long long sequence, long long packets, double max_delay, long long reordering)
    cpdef hurry(self)
    cpdef on_marks(self, long long mark, long long count)
    cpdef bint is_marked(self) except? -1
    cpdef on_batch(self, long long eliciting, double now)
    @cython.locals(i=cython.longlong, told=cython.longlong, tell=cython.longlong, starts=list, stops=list)
    cpdef bint _has_news(self) except? -1
    @cython.locals(i=cython.longlong, least=cython.longlong, stops=list)
    cpdef long long first_told(self) except? -1
    cpdef double delay(self, double now) except? -1
    @cython.locals(floor=cython.longlong)
    cpdef bint is_short(self) except? -1
    cpdef long long on_sent(self) except? -1
    cpdef on_acked(self, long long told, long long marks)
    cpdef on_lost(self, long long told, long long _)

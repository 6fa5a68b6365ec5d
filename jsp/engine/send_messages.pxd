# C types of send_messages.py.
import cython
cimport jsp.wire.buffer as octets
cimport jsp.wire.memory as memory
from jsp.engine.builder cimport Train
from jsp.engine.flow cimport SendCredit
from jsp.engine.scheduler cimport Scheduler, Sender
from jsp.wire.ranges cimport RangeSet

cdef long long _MESSAGE
cdef long long _LEN
cdef long long _FRAGMENT
cdef long long _ORDERED
cdef long long _BEST_EFFORT
cdef long long _PARTIAL
cdef long long _WAITING
cdef long long _OPEN
cdef long long _ABANDONED
cdef long long _RESOLVED
cdef long long _OVERHEAD
cdef long long _PARTIAL_MAX
cdef object _RELIABLE
cdef tuple _WHOLE


cdef class SendMessages(Sender)


cdef class OutMessage:
    cdef public RangeSet acked
    cdef public bytes data
    cdef public double expires
    cdef public long long id
    cdef public long long kind
    cdef public long long order
    cdef readonly SendMessages queue
    cdef public long long retransmits
    cdef public long long sent
    cdef public long long state
    cdef public long long told

    cpdef on_acked(self, part, _)
    cpdef on_lost(self, part, _)


cdef class SendMessages(Sender):
    cdef list _abandoned
    cdef SendCredit _credit
    cdef list _expiry
    cdef long long _fragmented
    cdef long long _next_best_effort
    cdef long long _next_id
    cdef list _next_order
    cdef readonly object _queue
    cdef list _resend
    cdef Scheduler _scheduler
    cdef public long long expired
    cdef public long long max_message
    cdef public long long queued_bytes
    cdef public bint room_wanted
    cdef public long long unresolved

    @cython.locals(
        kind=cython.longlong, expires=cython.double, retransmits=cython.longlong, message=OutMessage,
        best_effort=cython.longlong,
    )
    cpdef send(self, bytes data, mode, bint ordered, double now)
    cpdef double next_expiry(self) except? -1
    cpdef expire(self, double now)
    cpdef _abandon(self, OutMessage message)
    cpdef bint has_control(self) except? -1
    cpdef bint write_control(self, Train train) except? -1
    cpdef bint write_frames(self, Train train) except? -1
    @cython.locals(need=cython.longlong)
    cpdef bint _may_start(self, OutMessage message) except? -1
    @cython.locals(left=cython.longlong)
    cpdef long long _credit_for(self, OutMessage message) except? -1
    @cython.locals(start=cython.longlong, end=cython.longlong)
    cpdef bint _write_next(self, Train train, OutMessage message) except? -1
    @cython.locals(end=cython.longlong, start=cython.longlong, stop=cython.longlong, message=OutMessage)
    cpdef bint _write_again(self, Train train) except? -1
    @cython.locals(
        total=cython.longlong, kind=cython.longlong, head=cython.longlong, room=cython.longlong, size=cython.longlong,
    )
    cpdef long long _write_frame(
        self, Train train, OutMessage message, long long start, long long stop, long long allowed
    ) except? -1
    cpdef long long _id_of(self, OutMessage message) except? -1
    cpdef _open(self, OutMessage message)
    cpdef on_message_acked(self, OutMessage message, part)
    @cython.locals(start=cython.longlong, stop=cython.longlong)
    cpdef on_message_lost(self, OutMessage message, part)

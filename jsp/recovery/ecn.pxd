# C types of ecn.py.
import cython

cdef long long _ECT0
cdef long long _TEST_PACKETS
cdef long long _TESTING
cdef long long _UNKNOWN
cdef long long _CAPABLE
cdef long long _FAILED


cdef class Ecn:
    cdef long long _ect0
    cdef long long _lost
    cdef long long _tested
    cdef public long long ce
    cdef public long long marked
    cdef public long long state

    cpdef restart(self)
    cpdef long long mark(self) except? -1
    cpdef on_sent(self, long long count)
    cpdef on_silence(self)
    cpdef on_lost(self, long long count)
    @cython.locals(
        ect0=cython.longlong, ect1=cython.longlong, ce=cython.longlong, seen=cython.longlong, more=cython.bint,
    )
    cpdef bint on_ack(self, long long acked, tuple counts) except? -1

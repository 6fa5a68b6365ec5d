# C types of pacer.py.
import cython
from jsp.recovery.controller cimport initial_window

cdef long long _BURST_DATAGRAMS


cdef class Pacer:
    cdef double _alone_at
    cdef long long _datagram
    cdef double _depth
    cdef double _rate
    cdef double _time
    cdef double _tokens

    @cython.locals(fresh=cython.longlong, initial=cython.longlong)
    cpdef update(self, double rate, long long datagram, long long in_flight, bint trains)
    @cython.locals(elapsed=cython.double)
    cpdef long long budget(self, double now) except? -1
    cpdef on_sent(self, long long size)
    @cython.locals(wanted=cython.double, ready=cython.double)
    cpdef double ready_at(self, long long size) except? -1

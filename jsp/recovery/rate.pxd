# C types of rate.py.
import cython
from jsp.recovery.controller cimport AckSample
from jsp.recovery.sent cimport SentRun


cdef class DeliveryRate:
    cdef double _delivered_time
    cdef double _first_sent
    cdef long long _limited_until
    cdef long long _peak
    cdef long long _peak_before
    cdef long long _round_end
    cdef public long long delivered
    cdef public long long lost

    cpdef on_sent(self, SentRun run, long long in_flight)
    cpdef bint is_app_limited(self) except? -1
    cpdef on_app_limited(self, long long in_flight)
    cpdef restart(self)
    @cython.locals(now=cython.double, interval=cython.double)
    cpdef on_acked(self, SentRun newest, AckSample sample, double minimum_rtt)

# C types of hystart.py.
import cython

cdef double _NEVER
cdef double _LOW
cdef double _HIGH
cdef double _DIVISOR
cdef long long _SAMPLES
cdef long long _GROWTH
cdef long long _ROUNDS
cdef double _STANDING


cdef class HyStart:
    cdef double _baseline
    cdef double _eight
    cdef double _last_rtt
    cdef bint _looked
    cdef bint _queued
    cdef long long _round_end
    cdef long long _rounds
    cdef double _rtt
    cdef long long _samples
    cdef double _shortest
    cdef public bint conservative

    cpdef long long growth(self, long long acked) except? -1
    @cython.locals(eight=cython.double)
    cpdef bint on_ack(self, double rtt, long long prior_delivered, long long delivered) except? -1
    cpdef bint _is_over(self) except? -1

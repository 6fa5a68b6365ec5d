# C types of rtt.py.


cdef class RttEstimator:
    cdef public double latest
    cdef public double minimum
    cdef public bint sampled
    cdef public double smoothed
    cdef public double variance

    cpdef reset(self, double initial=*)
    cpdef update(self, double sample, double ack_delay)
    cpdef forget_minimum(self)
    cpdef double probe_timeout(self, double max_ack_delay) except? -1
    cpdef double longest(self) except? -1
    cpdef double loss_delay(self, double threshold) except? -1

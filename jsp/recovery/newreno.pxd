# C types of newreno.py.
cdef double _LOSS_REDUCTION
cdef long long _MINIMUM_DATAGRAMS


cpdef long long initial_window(long long datagram_size) except? -1


cdef class NewReno:
    cdef long long _credit
    cdef long long _datagram
    cdef double _recovery_start
    cdef double _threshold
    cdef public long long window

    cpdef on_acked(self, long long size, double sent_time, long long in_flight)
    cpdef on_congestion(self, double sent_time, double now)
    cpdef on_persistent_congestion(self)
    cpdef on_datagram_size(self, long long size)

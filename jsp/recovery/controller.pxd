# C types of controller.py.
from jsp.recovery.sent cimport SentRun

cdef long long _MINIMUM
cdef double _GAIN_SLOW_START
cdef double _GAIN


cpdef long long initial_window(long long datagram_size) except? -1


cdef class AckSample:
    cdef public long long acked
    cdef public bint app_limited
    cdef public long long delivered
    cdef public long long fresh
    cdef public long long in_flight
    cdef public long long lost_since
    cdef public double now
    cdef public long long peak
    cdef public long long prior_delivered
    cdef public long long prior_in_flight
    cdef public double rate
    cdef public long long remaining
    cdef public double rtt


cdef class Controller:
    cdef public long long datagram
    cdef public double recovery_start
    cdef public bint slow_start
    cdef public bint trains
    cdef public long long window

    cpdef double pacing_rate(self, double smoothed_rtt) except? -1
    cpdef on_ack(self, AckSample sample)
    cpdef on_congestion_event(self, double now)
    cpdef on_congestion(self, double sent_time, double now)
    cpdef on_lost(self, SentRun run, long long lost_since, double now)
    cpdef on_spurious_loss(self)
    cpdef bint on_resume(self, long long window) except? -1
    cpdef on_resume_failed(self, long long window)
    cpdef on_restart(self, double now)
    cpdef on_mark(self, double sent_time, double now)
    cpdef on_persistent_congestion(self)
    cpdef on_datagram_size(self, long long size)
    cpdef long long minimum_window(self) except? -1

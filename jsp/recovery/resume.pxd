# C types of resume.py.
from jsp.recovery.controller cimport AckSample, Controller

cdef double _SHORTER
cdef double _LONGER
cdef long long _RECONNAISSANCE
cdef long long _UNVALIDATED
cdef long long _VALIDATING
cdef double _NEVER


cdef class Known:
    cdef public double minimum
    cdef public double rtt
    cdef public double time
    cdef public long long window


cdef class CarefulResume:
    cdef long long _first
    cdef double _jumped
    cdef Known _known
    cdef long long _last
    cdef long long _proven
    cdef double _until
    cdef long long _wide
    cdef long long _window
    cdef public long long phase
    cdef public long long pipe

    cpdef double paced_at(self, double rate, double smoothed_rtt) except? -1
    cpdef bint on_ack(
        self, Controller controller, AckSample sample, double smoothed_rtt, long long largest, long long following
    ) except? -1
    cpdef bint _consider(
        self, Controller controller, AckSample sample, double smoothed_rtt, long long following
    ) except? -1

# C types of arrival.py.


cdef class Arrival:
    cdef public long long ecn
    cdef public bytes local
    cdef public bytes name
    cdef public tuple remote
    cdef public long long segment

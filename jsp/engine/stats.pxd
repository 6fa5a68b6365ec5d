# C types of stats.py.


cdef class Counters:
    cdef public long long acks_sent
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public long long datagrams_received
    cdef public long long datagrams_sent
    cdef public long long packets_dropped
    cdef public long long packets_duplicate
    cdef public long long packets_received
    cdef public long long packets_sent

# C types of traffic.py.


cdef class Received:
    cdef public long long ecn
    cdef public object local
    cdef public object remote
    cdef public long long segment_size
    cdef public long long size


cdef class Transmit:
    cdef public object data
    cdef public long long ecn
    cdef public object local
    cdef public object remote
    cdef public long long segment_size


cdef class Event:
    pass


cdef class StreamReadable(Event):
    cdef public long long stream_id


cdef class StreamWritable(Event):
    cdef public long long stream_id

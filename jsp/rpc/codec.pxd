# C types of codec.py.
import cython
cimport jsp.rpc.bounds as bounds

cdef long long _SIZE_SIZE
cdef long long _HEAD_SIZE
cdef long long _AFTER_SIZE
cdef long long _FED
cdef long long _VALUES_MAX
cdef long long _PACKER_KEEPS
cdef object _pack_head
cdef object _unpack


cdef class Fed:
    pass


cdef class Framer:
    cdef long long _max
    cdef long long _need
    cdef bytearray _partial
    cdef long long _skip

    @cython.locals(
        skipped=cython.longlong, pos=cython.longlong, end=cython.longlong, size=cython.longlong, stop=cython.longlong,
    )
    cpdef list receive(self, bytes data)


@cython.locals(high=cython.longlong)
cdef long long _u32(bytes data, long long at) except? -1
cpdef bytes bare_frame(long long kind, long long call)
cpdef bytes done_frame(long long call)
cpdef long long payload_size(bytes frame) except? -1


cdef class Encoder:
    cdef long long _max
    cdef object _pack

    @cython.locals(payload=bytes, size=cython.longlong)
    cpdef bytes frame(self, long long kind, long long call, value)
    cpdef bytes request(self, long long kind, long long call, method, args, kwargs)


cpdef decode(bytes payload)
cpdef tuple decode_request(bytes payload, bint feeds)
cpdef check_bare(bytes payload)
cdef _decode(bytes payload, on_extension)

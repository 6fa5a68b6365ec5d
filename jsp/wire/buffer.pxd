# C types of buffer.py.
import cython
cimport jsp.wire.memory as memory

cdef long long _SPANS_MAX


cpdef long long varint_size(long long value) except? -1


cdef class Reader:
    cdef public bytearray data
    cdef public long long end
    cdef public long long pos

    cpdef reset(self, bytearray data, long long pos, long long end)
    cpdef long long remaining(self) except? -1
    @cython.locals(pos=cython.longlong)
    cpdef long long pull_u8(self) except? -1
    @cython.locals(pos=cython.longlong, value=cython.longlong, i=cython.longlong, data=bytearray)
    cpdef object pull_uint(self, long long size)
    @cython.locals(pos=cython.longlong, first=cython.longlong, size=cython.longlong)
    cpdef long long pull_varint(self) except? -1
    @cython.locals(pos=cython.longlong)
    cpdef bytes pull_bytes(self, long long size)
    @cython.locals(pos=cython.longlong)
    cpdef long long skip(self, long long size) except? -1
    cpdef expect_end(self)


cdef class PacketBuffer:
    cdef dict _spans
    cdef public bytearray data
    cdef public object view

    cpdef tuple spans(self, long long start, long long body, long long end)


cdef class Writer:
    cdef public bytearray buffer
    cdef public long long end
    cdef public long long pos

    cpdef long long room(self) except? -1
    cpdef push_u8(self, long long value)
    @cython.locals(pos=cython.longlong)
    cpdef push_varint(self, long long value)
    @cython.locals(pos=cython.longlong, end=cython.longlong)
    cpdef push_bytes(self, data)

# C types of assembler.py.
import cython
cimport jsp.wire.memory as memory

cdef long long _MOVED_MAX


cdef class Assembler:
    cdef list _pieces
    cdef list _starts
    cdef public long long next
    cdef public bytearray ready

    cpdef long long gaps(self) except? -1
    cpdef insert(self, long long offset, bytearray data, long long start, long long stop)
    @cython.locals(done=cython.longlong, at=cython.longlong, skip=cython.longlong)
    cpdef _join(self)
    @cython.locals(i=cython.longlong, stop=cython.longlong, left=cython.longlong)
    cpdef _keep(self, long long offset, bytearray piece)
    @cython.locals(stop=cython.longlong, j=cython.longlong, tail=cython.longlong)
    cpdef _merge_right(self, long long i)
    @cython.locals(size=cython.longlong)
    cpdef long long take_into(self, target) except? -1
    cpdef bytes take(self, long long limit)
    @cython.locals(size=cython.longlong)
    cpdef long long clear(self) except? -1

# C types of send_buffer.py.
import cython
cimport jsp.wire.memory as memory
from jsp.wire.ranges cimport RangeSet

cdef long long _OWN_CHUNK
cdef long long _GATHER_MAX


cdef class SendBuffer:
    cdef RangeSet _acked
    cdef list _chunks
    cdef long long _near
    cdef list _starts
    cdef public long long base
    cdef public long long end
    cdef public RangeSet lost
    cdef public long long sent

    @cython.locals(size=cython.longlong)
    cpdef write(self, bytes data)
    @cython.locals(starts=list, i=cython.longlong, at=cython.longlong, n=cython.longlong)
    cpdef copy_to(self, bytearray buffer, long long pos, long long offset, long long size)
    @cython.locals(acked=RangeSet)
    cpdef on_acked(self, long long start, long long stop)
    @cython.locals(chunks=list, starts=list, base=cython.longlong, done=cython.longlong)
    cpdef _drop_chunks(self)
    cpdef on_lost(self, long long start, long long stop)
    @cython.locals(start=cython.longlong, stop=cython.longlong)
    cpdef tuple take_lost(self, long long size)
    cpdef clear(self)

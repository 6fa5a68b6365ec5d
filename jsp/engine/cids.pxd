# C types of cids.py.
import cython
from jsp.wire.ranges cimport RangeSet

cdef long long _ISSUED
cdef object _NO_TOKENS


cdef class LocalCids:
    cdef object _drop
    cdef object _make
    cdef long long _next
    cdef long long _path_id
    cdef list _pending
    cdef public long long _told
    cdef dict _tokens
    cdef public dict active

    @cython.locals(sequence=cython.longlong)
    cpdef issue(self, long long limit)
    cpdef bint has_frames(self) except? -1
    @cython.locals(sequence=cython.longlong)
    cpdef write_frames(self, train)
    cpdef introduce(self, train)
    cpdef on_acked(self, long long sequence, long long _)
    cpdef on_lost(self, long long sequence, long long _)
    cpdef retire(self, long long sequence, bytes used=*)
    cpdef close(self)


cdef class RemoteCids:
    cdef long long _path_id
    cdef long long _retire_before
    cdef readonly RangeSet _retired
    cdef long long _sequence
    cdef readonly dict _spares
    cdef readonly list _to_retire
    cdef readonly list _unacknowledged
    cdef public bytes current
    cdef public frozenset reset_tokens

    @cython.locals(known=bytes)
    cpdef add(self, long long sequence, long long retire_before, bytes cid, bytes token)
    cpdef _retire(self, long long sequence)
    @cython.locals(sequence=cython.longlong)
    cpdef bint rotate(self) except? -1
    cpdef bint has_frames(self) except? -1
    cpdef write_frames(self, train)
    cpdef on_acked(self, long long sequence, long long _)
    cpdef on_lost(self, long long sequence, long long _)

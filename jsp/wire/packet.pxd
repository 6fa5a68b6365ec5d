# C types of packet.py.
import cython
cimport jsp.wire.memory as memory
from jsp.wire.buffer cimport Reader


@cython.locals(size=cython.longlong)
cpdef bytes _pull_cid(Reader r)
@cython.locals(first=cython.longlong, size=cython.longlong)
cpdef LongHeader parse_long_header(Reader r)
@cython.locals(out=bytearray, at=cython.longlong, initial=cython.bint)
cpdef bytes encode_long_header(
    long long type_, bytes dcid, bytes scid, long long number, long long sealed_size, bytes token=*,
    long long version=*
)
cpdef long long _put_cid(bytearray out, long long at, bytes cid) except? -1
cpdef list parse_version_list(Reader r)
@cython.locals(expected=cython.longlong, window=cython.longlong, candidate=cython.longlong)
cpdef long long decode_number(long long truncated, long long bits, long long largest) except? -1
cpdef long long number_size(long long number, long long largest_acked) except? -1


cdef class LongHeader:
    cdef public long long body
    cdef public bytes dcid
    cdef public long long end
    cdef public long long number
    cdef public bytes scid
    cdef public long long start
    cdef public bytes token
    cdef public long long type
    cdef public long long version

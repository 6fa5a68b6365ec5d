# C types of bounds.py.
import cython
cimport jsp.wire.memory as memory

cdef bytes _LENGTH_BYTES
cdef bytes _FIXED_BYTES
cdef bytes _LENGTH_BITS
cdef bytes _VALUES
cdef bytes _CONTAINERS
cdef long long _DEPTH_MAX


@cython.locals(
    end=cython.longlong, pos=cython.longlong, count=cython.longlong, left=cython.longlong, byte=cython.uchar,
    width=cython.longlong, length=cython.longlong, values=cython.longlong, at=cython.longlong,
)
cpdef long long count_values(bytes payload, long long limit=*) except? -1
cpdef bint may_be_deep(bytes payload) except? -1

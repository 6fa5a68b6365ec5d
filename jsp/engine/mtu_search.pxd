# C types of mtu_search.py.
import cython

cdef long long _BASE
cdef long long _ALONE
cdef long long _TOGETHER
cdef long long _FAILS_AT
cdef double _RAISE_S
cdef long long _STEP_DIVISOR
cdef long long _LOOPBACK
cdef long long _JUMBO
cdef long long _ETHERNET
cdef long long _HEADERS_4
cdef long long _HEADERS_6


cpdef long long header_bytes(remote) except? -1


cdef class MtuSearch:
    cdef long long _failed
    cdef long long _guess
    cdef long long _headers
    cdef long long _most
    cdef long long _number
    cdef double _raise_at
    cdef long long _size
    cdef long long _told
    cdef long long _tries
    cdef public long long due
    cdef public long long passed

    cpdef bint is_complete(self) except? -1
    @cython.locals(size=cython.longlong)
    cpdef plan(self, long long room, double now)
    @cython.locals(low=cython.longlong, high=cython.longlong, size=cython.longlong)
    cpdef long long _choose(self) except? -1
    @cython.locals(link=cython.longlong, size=cython.longlong)
    cpdef long long _usual(self, long long room) except? -1
    cpdef _due(self, long long size)
    cpdef on_sent(self, long long number)
    cpdef bint on_acked(self, long long number) except? -1
    cpdef on_lost(self, long long number, bint alone)
    cpdef on_hint(self, long long size)
    cpdef on_too_large(self, long long size)
    cpdef fall(self)

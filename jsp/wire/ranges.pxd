# C types of ranges.py.
import cython


cdef class RangeSet:
    cdef public list starts
    cdef public list stops

    cpdef long long total(self) except? -1
    @cython.locals(low=cython.longlong, high=cython.longlong, last=cython.longlong, starts=list, stops=list)
    cpdef add(self, long long start, long long stop)
    @cython.locals(low=cython.longlong, high=cython.longlong, starts=list, stops=list)
    cpdef remove(self, long long start, long long stop)
    @cython.locals(i=cython.longlong)
    cpdef bint covers(self, long long start, long long stop) except? -1
    @cython.locals(i=cython.longlong)
    cpdef list missing(self, long long start, long long stop)
    @cython.locals(keep=cython.longlong)
    cpdef drop_below(self, long long floor)

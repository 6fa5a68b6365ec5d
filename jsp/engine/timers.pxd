# C types of timers.py.
import cython


cdef class TimerTable:
    cdef public list deadlines

    @cython.locals(earliest=cython.double, deadline=cython.double)
    cpdef double next(self) except? -1
    cpdef list take_expired(self, double now)
    cpdef clear(self)

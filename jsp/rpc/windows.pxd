# C types of windows.py.
import cython

cdef long long _WINDOW
cdef long long _ITEM_COST
cdef long long _OWED_MAX


cdef class Credit:
    cdef long long _left

    @cython.locals(cost=cython.longlong)
    cpdef bint take(self, long long payload_size) except? -1
    cpdef grant(self, size)


cdef class Inbox:
    cdef long long _allowed
    cdef long long _owed
    cdef public bint ended
    cdef public object payloads

    @cython.locals(cost=cython.longlong)
    cpdef push(self, bytes payload)
    cpdef bytes take(self)
    @cython.locals(owed=cython.longlong)
    cpdef long long poll_credit(self) except? -1
    cpdef close(self)

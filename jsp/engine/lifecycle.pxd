# C types of lifecycle.py.

cdef object _CLOSING
cdef object _DRAINING
cdef object _CLOSED


cdef class Lifecycle:
    cdef long long _answers
    cdef public tuple close_due
    cdef public object closed
    cdef public object closing_with
    cdef public object state

    cpdef bint is_closed(self) except? -1
    cpdef confirm(self)
    cpdef linger(self)
    cpdef bint end(self, moved, closed) except? -1
    cpdef drained(self)
    cpdef bint wants_answer(self) except? -1
    cpdef tuple frame(self, bint authenticated)

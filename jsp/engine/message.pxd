# C types of message.py.

cdef object _RELIABLE


cdef class Message:
    cdef public bytes data
    cdef public object mode
    cdef public bint ordered

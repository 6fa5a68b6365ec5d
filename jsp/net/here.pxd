# What here.py does, for compiled modules.

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()


cdef inline unsigned long thread() noexcept:
    return PyThread_get_thread_ident()

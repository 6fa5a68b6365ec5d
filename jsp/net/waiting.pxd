# C types of waiting.py.


cpdef end_watcher(watcher)


cdef class Signal:
    cdef list _waiters
    cdef public long long taken

    cpdef bint wait(self, timeout=*) except? -1
    cpdef add(self, waiter)
    cpdef list take(self)
    cpdef notify(self)

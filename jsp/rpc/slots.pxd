# C types of slots.py.

cdef long long _CALLS_MAX
cdef long long _HELD_MAX


cdef class Slots:
    cdef object _closed
    cdef object _waiting
    cdef public long long calls
    cdef public long long held

    cpdef acquire(self, long long size)
    cdef _take(self, long long size)
    cdef bint _has_room(self, long long size) except? -1
    cpdef release(self, long long size)
    cpdef close(self, error)

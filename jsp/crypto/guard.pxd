# C types of guard.py.

cdef bint _raised


cpdef check_fork(long long owner)

# C types of mobility.py.
cdef class Mobility:
    cdef object _ahead
    cdef readonly object _offer
    cdef readonly object _offered
    cdef long long _ours
    cdef list _owed
    cdef long long _sequence
    cdef object _shelved
    cdef long long _theirs
    cdef public list copies
    cdef public bint copies_asked
    cdef public bint due
    cdef public long long limit
    cdef public long long lull_seen
    cdef public double lull_wait
    cdef public bytes preferred
    cdef public bint wanted

    cpdef bint write_frames(self, train) except? -1
    cpdef on_acked(self, long long kind, what)
    cpdef on_lost(self, long long kind, what)

# C types of flow.py.
import cython

cdef long long _ROUND_TRIPS
cdef long long _GROWTH_MAX


cdef class SendCredit:
    cdef public long long blocked_at
    cdef public long long limit
    cdef public long long used

    cpdef long long available(self) except? -1
    cpdef bint raise_to(self, long long limit) except? -1


cdef class ReceiveWindow:
    cdef long long _last_read
    cdef double _last_update
    cdef long long _maximum
    cdef bint _peer_blocked
    cdef long long _read
    cdef long long _window
    cdef public long long fragments
    cdef public long long limit
    cdef public long long received
    cdef public bint update_due

    cpdef on_fragments(self, long long change)
    cpdef on_received(self, long long size)
    cpdef bint on_read(self, long long size) except? -1
    cpdef on_blocked(self, long long limit)
    cpdef long long held(self) except? -1
    @cython.locals(took=cython.double, worth=cython.double)
    cpdef long long advance(self, double now, double shortest_rtt) except? -1
    cpdef on_lost(self)
    cpdef widen(self)


cdef class Memory:
    cdef public long long held
    cdef public long long limit
    cdef public long long sharers
    cdef public long long spare


cdef class ConnectionWindow(ReceiveWindow):
    cdef Memory _memory
    cdef public long long kept
    cdef public long long spare

    cpdef bint may_keep(self, long long size) except? -1
    cpdef keep(self, long long change)
    cpdef bint may_spare(self, long long size) except? -1
    cpdef hold_spare(self, long long change)
    cpdef on_received(self, long long size)
    cpdef bint on_read(self, long long size) except? -1
    cpdef release(self)

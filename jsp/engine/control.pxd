# C types of control.py.
from jsp.engine.builder cimport Train
from jsp.engine.flow cimport ReceiveWindow, SendCredit
from jsp.engine.scheduler cimport Scheduler


cdef class Control:
    cdef SendCredit _credit
    cdef list _events
    cdef long long _next_ping
    cdef object _pings
    cdef Scheduler _scheduler
    cdef ReceiveWindow _window
    cdef public bint handshake_done_due
    cdef public double now
    cdef public bint ping_due
    cdef public bint told_blocked

    cpdef long long ping(self) except? -1
    cpdef bint has_frames(self) except? -1
    cpdef bint write_frames(self, Train train, double now, double shortest_rtt) except? -1
    cpdef bint _write_blocked(self, Train train) except? -1
    cpdef on_acked(self, long long kind, value)
    cpdef on_lost(self, long long kind, value)

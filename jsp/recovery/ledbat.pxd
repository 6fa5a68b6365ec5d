# C types of ledbat.py.
import cython
from jsp.recovery.controller cimport AckSample, Controller

cdef double _TARGET
cdef long long _GAIN_DIVISOR_MAX
cdef double _EXIT
cdef long long _BASE_MINUTES
cdef double _MINUTE_S
cdef long long _FILTER
cdef long long _SLOW_ROUND_TRIPS
cdef double _RATIO
cdef double _NEVER


cdef class Ledbat(Controller):
    cdef list _current
    cdef double _fraction
    cdef double _held_until
    cdef bint _initial
    cdef double _last
    cdef list _minima
    cdef double _minute
    cdef double _slowdown_at
    cdef double _slowdown_start
    cdef double _threshold
    cdef tuple _undo
    cdef readonly double base
    cdef readonly double queued

    @cython.locals(now=cython.double, since=cython.double)
    cpdef on_ack(self, AckSample sample)
    cpdef _pass(self, double seconds)
    cpdef double gain(self) except? -1
    cpdef _on_round_trip(self, double rtt, double now)
    @cython.locals(window=cython.double)
    cpdef _widen(self, double size)
    @cython.locals(change=cython.double)
    cpdef _avoid(self, long long acked)
    cpdef _leave_slow_start(self, double now)
    cpdef _slow_down(self, double now)
    cpdef on_restart(self, double now)
    cpdef on_spurious_loss(self)
    cpdef on_congestion_event(self, double now)
    cpdef on_persistent_congestion(self)

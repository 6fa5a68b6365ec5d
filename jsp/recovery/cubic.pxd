# C types of cubic.py.
import cython
from jsp.recovery.controller cimport AckSample, Controller
from jsp.recovery.hystart cimport HyStart

cdef double _C
cdef double _BETA
cdef double _GAIN
cdef double _ALPHA
cdef double _DEEP
cdef double _GROWTH_MAX


cdef class Cubic(Controller):
    cdef double _epoch
    cdef double _fraction
    cdef HyStart _hystart
    cdef double _k
    cdef double _last
    cdef double _prior
    cdef double _rtt
    cdef double _shortest
    cdef double _shortest_before
    cdef double _threshold
    cdef tuple _undo
    cdef HyStart _undo_hystart
    cdef double _w_est
    cdef double _w_max

    cpdef double pacing_rate(self, double smoothed_rtt) except? -1
    @cython.locals(since=cython.double)
    cpdef on_ack(self, AckSample sample)
    cpdef bint _is_deep(self) except? -1
    cpdef _leave_slow_start(self)
    @cython.locals(window=cython.double, t=cython.double, target=cython.double)
    cpdef _avoid(self, long long acked, double now)
    @cython.locals(away=cython.double)
    cpdef double window_at(self, double t) except? -1
    @cython.locals(window=cython.longlong)
    cpdef on_congestion_event(self, double now)
    cpdef on_spurious_loss(self)
    cpdef on_restart(self, double now)
    cpdef bint on_resume(self, long long window) except? -1
    cpdef on_resume_failed(self, long long window)
    cpdef on_persistent_congestion(self)
    @cython.locals(scale=cython.double)
    cpdef on_datagram_size(self, long long size)
    cpdef _start_stage(self)

# C types of newreno.py.
from jsp.recovery.controller cimport AckSample, Controller

cdef double _LOSS_REDUCTION


cdef class NewReno(Controller):
    cdef long long _credit
    cdef double _threshold
    cdef double _undo_threshold
    cdef long long _undo_window

    cpdef on_ack(self, AckSample sample)
    cpdef on_congestion_event(self, double now)
    cpdef on_spurious_loss(self)
    cpdef bint on_resume(self, long long window) except? -1
    cpdef on_resume_failed(self, long long window)
    cpdef on_persistent_congestion(self)

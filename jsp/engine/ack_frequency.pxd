# C types of ack_frequency.py.
import cython
from jsp.engine.builder cimport Train
from jsp.recovery.controller cimport Controller
from jsp.recovery.loss cimport LossDetector

cdef long long _PER_WINDOW
cdef long long _IN_SLOW_START
cdef long long _MAX
cdef long long _PACKETS
cdef long long _REORDERING
cdef long long _THRESHOLD
cdef long long _DELAY_DIVISOR


cdef class AckFrequency:
    cdef LossDetector _recovery
    cdef long long _sequence
    cdef double _shortest
    cdef public double delay
    cdef public bint due
    cdef readonly double longest
    cdef public long long packets
    cdef public long long reordering

    @cython.locals(packets=cython.longlong, reordering=cython.longlong, delay=cython.double, recovery=LossDetector, controller=Controller)
    cpdef update(self, long long datagram)
    cpdef write_frame(self, Train train, long long path_id)
    cpdef on_acked(self, long long sequence, long long _)
    cpdef on_lost(self, long long sequence, long long _)

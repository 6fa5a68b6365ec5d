# C types of scheduler.py.
import cython
from jsp.engine.builder cimport Train
from jsp.recovery.sent cimport RangeOwner

cdef long long _URGENCIES


cdef class Sender(RangeOwner):
    cdef public bint queued
    cdef public long long urgency

    cpdef bint write_frames(self, Train train) except? -1


cdef class Scheduler:
    cdef list _queues
    cdef long long _ready
    cdef public list credit_blocked
    cdef public list done
    cdef public list stream_blocked

    cpdef add(self, Sender sender)
    cpdef remove(self, Sender sender)
    cpdef on_blocked(self, Sender sender, bint by_stream)
    @cython.locals(sender=Sender)
    cpdef on_credit(self)
    @cython.locals(urgency=cython.longlong, sender=Sender)
    cpdef fill(self, Train train)

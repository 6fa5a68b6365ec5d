# C types of scheduler.py.
import cython
from jsp.engine.builder cimport Train
from jsp.recovery.sent cimport RangeOwner

cdef long long _URGENCIES
cdef long long _ANY


cdef class Sender(RangeOwner):
    cdef public bint incremental
    cdef public long long place
    cdef public bint queued
    cdef public long long urgency

    cpdef bint write_frames(self, Train train) except? -1
    cpdef long long least(self) except? -1
    @cython.locals(total=cython.longlong, sender=Sender)
    cpdef long long unsent(self) except? -1


cdef class Line(Sender):
    cdef public list members

    @cython.locals(i=cython.longlong, other=Sender)
    cpdef add(self, Sender sender)


cdef class Scheduler:
    cdef dict _lines
    cdef list _queues
    cdef long long _ready
    cdef public list credit_blocked
    cdef public list done
    cdef public list stream_blocked

    @cython.locals(line=Line)
    cpdef add(self, Sender sender)
    cpdef remove(self, Sender sender)
    @cython.locals(line=Line)
    cpdef Line _line(self, long long urgency)
    cpdef change(self, Sender sender, long long urgency, bint incremental)
    cpdef on_blocked(self, Sender sender, bint by_stream)
    @cython.locals(sender=Sender)
    cpdef on_credit(self)
    @cython.locals(urgency=cython.longlong, sender=Sender)
    cpdef long long least(self) except? -1
    @cython.locals(total=cython.longlong, sender=Sender)
    cpdef long long unsent(self, long long enough) except? -1
    @cython.locals(urgency=cython.longlong, sender=Sender, more=cython.bint)
    cpdef fill(self, Train train)

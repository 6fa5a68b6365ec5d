# C types of message_queue.py.
import cython
from jsp.engine.builder cimport Train
from jsp.engine.out_message cimport OutMessage
from jsp.engine.scheduler cimport Sender
from jsp.engine.send_messages cimport SendMessages

cdef double _NEVER
cdef long long _URGENCIES
cdef long long _SWEEP_MIN
cdef long long _FRAME


cdef class MessageQueue(Sender):
    cdef long long _dead
    cdef list _dated
    cdef SendMessages _messages
    cdef object _plain
    cdef list _urgencies
    cdef public object again
    cdef public bint in_order

    cpdef push(self, OutMessage message)
    cpdef pop_again(self)
    cpdef _count(self, OutMessage message, long long change)
    @cython.locals(urgency=cython.longlong)
    cpdef long long most_urgent(self) except? -1
    cpdef push_again(self, OutMessage message, long long start, long long stop, long long attempt)
    @cython.locals(dated=list, message=OutMessage)
    cpdef OutMessage first(self)
    cpdef drop(self, OutMessage message)
    @cython.locals(message=OutMessage)
    cpdef _sweep(self)
    @cython.locals(message=OutMessage)
    cpdef long long least(self) except? -1
    @cython.locals(messages=SendMessages, written=cython.bint)
    cpdef bint write_frames(self, Train train) except? -1

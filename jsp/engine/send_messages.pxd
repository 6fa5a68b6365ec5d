# C types of send_messages.py.
import cython
cimport jsp.engine.fragments as fragments
cimport jsp.engine.out_message as out
from jsp.engine.builder cimport Train
from jsp.engine.flow cimport SendCredit
from jsp.engine.message_queue cimport MessageQueue
from jsp.engine.out_message cimport OutMessage
from jsp.engine.scheduler cimport Scheduler

cdef long long _MESSAGE
cdef long long _ORDERED
cdef long long _BEST_EFFORT
cdef long long _PARTIAL
cdef long long _WAITING
cdef long long _OPEN
cdef long long _OWED
cdef long long _TOLD
cdef long long _RESOLVED
cdef long long _PENDING
cdef long long _DELIVERED
cdef long long _EXPIRED
cdef long long _LOST
cdef long long _REPLACED
cdef long long _OVERHEAD
cdef long long _PARTIAL_MAX
cdef object _RELIABLE
cdef double _NEVER
cdef long long _NO_LIMIT
cdef long long _IN_ORDER
cdef long long _SWEEP_MIN
cdef tuple _WHOLE


cdef class SendMessages:
    cdef SendCredit _credit
    cdef list _events
    cdef long long _expired_late
    cdef readonly list _expiry
    cdef long long _fragmented
    cdef readonly dict _latest
    cdef long long _next_best_effort
    cdef long long _next_id
    cdef list _next_order
    cdef long long _next_seq
    cdef object _owed
    cdef list _queues
    cdef Scheduler _scheduler
    cdef list _under_way
    cdef public long long expired
    cdef public long long max_message
    cdef public long long queued_bytes
    cdef public object repair
    cdef public bint room_wanted
    cdef public long long unresolved
    cdef public long long waiting
    cdef public dict watched

    @cython.locals(queued=cython.longlong, waiting=cython.longlong, older=OutMessage)
    cpdef bint has_room(self, long long size, long long limit, key) except? -1
    @cython.locals(waiting=cython.longlong)
    cpdef bint has_drained(self, long long limit) except? -1
    @cython.locals(
        kind=cython.longlong, expires=cython.double, retransmits=cython.longlong, message=OutMessage,
        best_effort=cython.longlong, queue=MessageQueue,
    )
    cpdef OutMessage send(
        self, bytes data, mode, bint ordered, double now,
        long long urgency=*,
        key=*
    )
    @cython.locals(older=OutMessage)
    cpdef _replace(self, OutMessage message, key, bint ordered)
    @cython.locals(at=cython.longlong, queue=MessageQueue)
    cpdef MessageQueue _queue(self, long long urgency, bint ordered)
    cpdef watch(self, OutMessage message, watcher)
    @cython.locals(expiry=list, message=OutMessage)
    cpdef double next_expiry(self) except? -1
    cpdef expire(self, double now)
    @cython.locals(m=OutMessage)
    cpdef _settle(self, OutMessage message, long long outcome)
    @cython.locals(queue=MessageQueue)
    cpdef _give_up(self, OutMessage message, long long outcome)
    cpdef _tell(self, OutMessage message)
    cpdef _owe(self, OutMessage message)
    @cython.locals(queue=MessageQueue)
    cpdef _on_defragmented(self)
    cpdef bint has_control(self) except? -1
    @cython.locals(message=OutMessage)
    cpdef bint write_control(self, Train train) except? -1
    @cython.locals(message=OutMessage, under_way=list, left=cython.longlong, need=cython.longlong)
    cpdef OutMessage next_of(self, MessageQueue queue)
    @cython.locals(start=cython.longlong, end=cython.longlong, allowed=cython.longlong, fresh=cython.bint)
    cpdef bint write_next(self, Train train, OutMessage message) except? -1
    cpdef _on_sent(self, OutMessage message, bint at_once)
    @cython.locals(
        piece=tuple, end=cython.longlong, start=cython.longlong, stop=cython.longlong, attempt=cython.longlong,
        message=OutMessage,
    )
    cpdef bint write_again(self, Train train, MessageQueue queue) except? -1
    @cython.locals(whole=cython.bint, end=cython.longlong)
    cpdef long long _write_frame(
        self, Train train, OutMessage message, long long start, long long stop, long long allowed
    ) except? -1
    cpdef long long _id_of(self, OutMessage message) except? -1
    cpdef _open(self, OutMessage message)
    cpdef on_message_acked(self, OutMessage message, part)
    @cython.locals(
        start=cython.longlong, stop=cython.longlong, attempt=cython.longlong, a=cython.longlong, b=cython.longlong,
        queue=MessageQueue,
    )
    cpdef on_message_lost(self, OutMessage message, part)

# C types of recv_messages.py.
import cython
cimport jsp.wire.memory as memory
from jsp.engine.flow cimport ConnectionWindow
from jsp.engine.message cimport Message
from jsp.wire.frames cimport MessageFrame
from jsp.wire.ranges cimport RangeSet

cdef long long _OVERHEAD
cdef long long _BEST_EFFORT
cdef long long _PARTIAL
cdef long long _IDS_MAX
cdef long long _SEEN_MAX


cdef class InMessage:
    cdef public long long charged
    cdef public bytearray data
    cdef public double expires
    cdef public RangeSet got
    cdef public long long kind
    cdef public long long order
    cdef public long long total

    @cython.locals(end=cython.longlong)
    cpdef add(self, MessageFrame frame, bytearray data)


cdef class PlaceSet:
    cdef readonly dict _chunks

    cpdef add(self, place)
    cpdef bint take(self, place) except? -1


cdef class RecvMessages:
    cdef readonly PlaceSet _abandoned
    cdef readonly dict _best_effort
    cdef readonly long long _best_effort_bytes
    cdef long long _best_effort_order
    cdef RangeSet _delivered
    cdef long long _max_message
    cdef long long _next_order
    cdef readonly long long _partial_bytes
    cdef long long _partial_limit
    cdef long long _queue_limit
    cdef RangeSet _seen
    cdef dict _waiting
    cdef ConnectionWindow _window
    cdef public long long dropped
    cdef public dict partial
    cdef public object ready
    cdef public object repair
    cdef public bint several
    cdef public bint signalled

    cpdef _check_size(self, long long total)
    cpdef bint has_control(self) except? -1
    @cython.locals(total=cython.longlong)
    cpdef bint on_message(self, MessageFrame frame, bytearray data, double now) except? -1
    @cython.locals(end=cython.longlong)
    cpdef _on_reliable(self, MessageFrame frame, bytearray data, long long total)
    @cython.locals(message=Message, cost=cython.longlong)
    cpdef _deliver(self, MessageFrame frame, bytes content)
    cpdef _note_delivered(self, long long message_id)
    cpdef _release_ordered(self)
    cpdef bint on_abandon(self, long long message_id, long long order, long long sent) except? -1
    @cython.locals(more=cython.longlong, held=cython.longlong, oldest=cython.longlong)
    cpdef _on_best_effort(self, MessageFrame frame, bytearray data, long long total, double now)
    cpdef _give_up_old(self, double now)
    cpdef _forget_best_effort(self, long long message_id)
    @cython.locals(cost=cython.longlong, late=cython.bint, full=cython.bint)
    cpdef _deliver_best_effort(self, MessageFrame frame, bytes content)
    cpdef _make_ready(self, Message message, long long cost)
    @cython.locals(cost=cython.longlong, message=Message)
    cpdef read(self)

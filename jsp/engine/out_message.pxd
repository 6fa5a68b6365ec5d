# C types of out_message.py.
import cython
from jsp.engine.message_queue cimport MessageQueue
from jsp.engine.send_messages cimport SendMessages
from jsp.wire.ranges cimport RangeSet


cdef class OutMessage:
    cdef public RangeSet acked
    cdef public bytes data
    cdef public double expires
    cdef public long long id
    cdef public object key
    cdef public long long kind
    cdef public long long order
    cdef public long long outcome
    cdef public SendMessages owner
    cdef public long long piece
    cdef public MessageQueue queue
    cdef public bint redundant
    cdef public long long retransmits
    cdef public long long sent
    cdef public long long seq
    cdef public long long size
    cdef public long long state
    cdef public long long told
    cdef public long long urgency
    cdef public bint waiting
    cdef public object watcher

    cpdef bint follows(self, OutMessage previous, long long message_id) except? -1
    cpdef on_acked(self, part, _)
    cpdef on_lost(self, part, _)


@cython.locals(message=OutMessage)
cpdef OutMessage make_message(
    SendMessages owner, bytes data, long long kind, double expires, long long retransmits
)

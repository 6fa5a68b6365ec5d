# C types of fragments.py.
import cython
cimport jsp.wire.buffer as octets
cimport jsp.wire.memory as memory
from jsp.engine.builder cimport Train
from jsp.engine.out_message cimport OutMessage
from jsp.wire.ranges cimport RangeSet

cdef long long _MESSAGE_NEXT
cdef long long _LEN
cdef long long _FRAGMENT
cdef long long _AROUND


@cython.locals(
    total=cython.longlong, kind=cython.longlong, head=cython.longlong, room=cython.longlong, size=cython.longlong,
    whole=cython.bint, follows=cython.bint, kind_at=cython.longlong,
)
cpdef long long write_piece(
    Train train, OutMessage message, long long message_id, long long start, long long stop, long long allowed,
    repair
) except? -1
@cython.locals(room=cython.longlong, piece=cython.longlong)
cpdef long long _fragment_size(
    Train train, OutMessage message, long long start, long long size, long long head
) except? -1

# C types of frames.py.
import cython
cimport jsp.wire.memory as memory
from jsp.wire.buffer cimport Reader, Writer

cdef long long _ACK
cdef long long _ACK_ECN
cdef double _DELAY_UNIT
cdef long long _RANGES_MAX
cdef long long _OFF
cdef long long _LEN
cdef long long _FIN
cdef long long _STREAM_NEXT
cdef long long _ACK_SHORT
cdef long long _MESSAGE_LAST
cdef long long _CUT_SPAN
cdef long long _CUT_BEHIND
cdef long long _CUT_MASK
cdef long long _ORDERED
cdef long long _FRAGMENT
cdef long long _MESSAGE_LEN


cpdef bint is_eliciting(long long kind) except? -1
@cython.locals(stop=cython.longlong, count=cython.longlong, start=cython.longlong)
cpdef Ack parse_ack(Reader r, bint with_ecn)
@cython.locals(
    i=cython.longlong, fits=cython.longlong, j=cython.longlong, start=cython.longlong, stop=cython.longlong,
    units=cython.longlong,
)
cpdef long long push_ack(
    Writer w, long long path_id, double delay, list starts, list stops, long long low=*
) except? -1
cpdef push_marks(Writer w, long long ack_at, long long ect0, long long ect1, long long ce)
@cython.locals(stop=cython.longlong, found=list)
cpdef list pull_numbers(Reader r, long long count)
@cython.locals(size=cython.longlong, value=cython.longlong)
cpdef bint push_numbers(Writer w, long long kind, tuple values) except? -1
cpdef tuple parse_ack_frequency(Reader r)
cpdef bint push_ack_frequency(
    Writer w, long long path_id, long long sequence, long long packets, long long delay, long long reordering
) except? -1
@cython.locals(units=cython.longlong)
cpdef bint push_ack_short(Writer w, long long largest, double delay) except? -1
cpdef tuple parse_ack_short(Reader r)
cpdef tuple parse_reset(Reader r)
cpdef tuple parse_two(Reader r)
@cython.locals(offset=cython.longlong, size=cython.longlong, start=cython.longlong)
cpdef tuple parse_crypto(Reader r)
@cython.locals(size=cython.longlong, pos=cython.longlong)
cpdef parse_stream(Reader r, long long kind, StreamFrame into)
cpdef long long offset_size(long long offset, long long span) except? -1
@cython.locals(pos=cython.longlong)
cpdef push_offset(Writer w, long long offset, long long size)
@cython.locals(least=cython.longlong)
cpdef long long full_offset(long long low, long long received) except? -1
@cython.locals(size=cython.longlong)
cpdef parse_message(Reader r, long long kind, MessageFrame into)
cpdef tuple parse_abandon(Reader r)
@cython.locals(size=cython.longlong)
cpdef tuple parse_new_cid(Reader r)
cpdef bint push_new_cid(
    Writer w, long long path_id, long long sequence, long long retire, bytes cid, bytes token


) except? -1
cpdef push_path(Writer w, long long kind, bytes data)
@cython.locals(size=cython.longlong)
cpdef tuple parse_close(Reader r)
cpdef push_close(Writer w, bint application, long long code, reason)
cpdef skip_unknown(Reader r)


cdef class Ack:
    cdef public double delay
    cdef public object ecn
    cdef public long long path_id
    cdef public list starts
    cdef public list stops


cdef class StreamFrame:
    cdef public bint cut
    cdef public bint fin
    cdef public long long id
    cdef public long long offset
    cdef public long long start
    cdef public long long stop


cdef class MessageFrame:
    cdef public long long id
    cdef public long long kind
    cdef public long long offset
    cdef public long long order
    cdef public long long start
    cdef public long long stop
    cdef public long long total

# C types of builder.py.
import cython
cimport jsp.recovery.sent as sent
cimport jsp.wire.memory as memory
from jsp.crypto.protection cimport SealKeys
from jsp.recovery.sent cimport RangeOwner, SentRun
from jsp.wire.buffer cimport PacketBuffer, Writer

cdef long long _PACKETS_MAX
cdef long long _TAG
cdef long long _SAMPLE
cdef long long _SHORT
cdef long long _PN4
cdef long long _PHASE
cdef long long _TRAIN_MAX


cdef class Twin:
    cdef object _a
    cdef bint _acked
    cdef object _b
    cdef object _owner
    cdef public long long left


cdef class Kept:
    cdef public long long count
    cdef public bytes data
    cdef public long long header_size
    cdef public long long number_size
    cdef public list runs
    cdef public long long segment


cdef class Train(Writer):
    cdef long long _a
    cdef long long _b
    cdef bytes _cid
    cdef bint _eliciting
    cdef long long _first
    cdef long long _first_number
    cdef long long _header_size
    cdef long long _kind_at
    cdef long long _length_at
    cdef long long _length_bit
    cdef long long _limit
    cdef long long _number
    cdef long long _number_size
    cdef bint _open
    cdef RangeOwner _owner
    cdef SentRun _run
    cdef RangeOwner _run_owner
    cdef long long _run_start
    cdef long long _run_stop
    cdef long long _segment
    cdef long long _start
    cdef list _tokens
    cdef public bint alone
    cdef public long long capacity
    cdef public long long count
    cdef public object message
    cdef public list runs
    cdef public PacketBuffer slots
    cdef public double time
    cdef public long long twice_from
    cdef public long long twice_to

    @cython.locals(most=cython.longlong)
    cpdef begin(
        self, SealKeys keys, bytes cid, long long number, long long number_size, long long datagram, long long limit,
        double now
    )
    @cython.locals(
        start=cython.longlong, size=cython.longlong, at=cython.longlong, number=cython.longlong, buffer=bytearray,
        cid=bytes,
    )
    cpdef bint _open_packet(self) except? -1
    cpdef push_length(self, long long size, long long kind_at, long long bit)
    cpdef note(self, owner, a, b)
    cpdef note_quietly(self, owner, a, b)
    cpdef note_range(self, RangeOwner owner, long long start, long long stop)
    cpdef _keep_range(self)
    cpdef bint has_eliciting(self) except? -1
    cpdef mark_eliciting(self)
    cpdef bint advance(self) except? -1
    @cython.locals(start=cython.longlong, pos=cython.longlong, least=cython.longlong, size=cython.longlong)
    cpdef bint _finish(self) except? -1
    @cython.locals(run=SentRun, step=cython.longlong, owner=RangeOwner)
    cpdef _record(self, long long size)
    cpdef _end_run(self)
    @cython.locals(
        buffer=bytearray, at=cython.longlong, first=cython.longlong, head=cython.longlong, size=cython.longlong,
    )
    cpdef _drop_length(self)
    @cython.locals(stop=cython.longlong)
    cpdef pad_to(self, long long size)
    cpdef mark_twice(self)
    cpdef finish(self)
    cpdef long long protect(self, SealKeys keys, long long path_id) except? -1
    cpdef long long seal(self, SealKeys keys, long long path_id) except? -1
    cpdef long long segment_size(self) except? -1

# C types of send_stream.py.
import cython
cimport jsp.wire.buffer as octets
cimport jsp.wire.frames as frames
from jsp.engine.builder cimport Train
from jsp.engine.flow cimport SendCredit
from jsp.engine.scheduler cimport Scheduler, Sender
from jsp.engine.send_buffer cimport SendBuffer
from jsp.wire.buffer cimport Writer
from jsp.wire.ranges cimport RangeSet

cdef long long _STREAM
cdef long long _STREAM_NEXT
cdef long long _FIN
cdef long long _LEN
cdef long long _OFF
cdef long long _ANYWHERE
cdef object _OPEN
cdef object _FINISHING


cdef class SendStream(Sender):
    cdef bint _announce
    cdef SendCredit _connection_credit
    cdef long long _id_size
    cdef long long _reset_code
    cdef bint _reset_due
    cdef Scheduler _scheduler
    cdef public SendBuffer buffer
    cdef public SendCredit credit
    cdef public long long id
    cdef public object state
    cdef public long long stop_code

    cpdef announce(self)
    cpdef write(self, bytes data)
    cpdef long long unsent(self) except? -1
    cpdef finish(self)
    cpdef reset(self, long long code)
    cpdef on_stop(self, long long code)
    cpdef bint is_blocked(self) except? -1
    cpdef bint has_control(self) except? -1
    cpdef bint write_control(self, Writer w) except? -1
    cpdef on_reset_acked(self)
    cpdef on_reset_lost(self)
    cpdef long long _end(self) except? -1
    @cython.locals(
        buffer=SendBuffer, lost=RangeSet, offset_size=cython.longlong, room=cython.longlong, sent_to=cython.longlong,
        offset=cython.longlong, stop=cython.longlong, fresh=cython.bint, size=cython.longlong,
    )
    cpdef bint write_frames(self, Train train) except? -1
    cpdef bint _has_more(self) except? -1
    @cython.locals(buffer=SendBuffer, end=cython.longlong, unsent=cython.longlong, allowed=cython.longlong)
    cpdef long long _fresh_stop(self) except? -1
    @cython.locals(
        data_end=cython.longlong, size=cython.longlong, kind=cython.longlong, end=cython.longlong,
        kind_at=cython.longlong,
    )
    cpdef long long _write_frame(
        self, Train train, long long offset, long long offset_size, long long stop, long long room
    ) except? -1
    cpdef on_acked(self, long long start, long long stop)
    cpdef on_lost(self, long long start, long long stop)

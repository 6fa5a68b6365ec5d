# C types of streams.py.
import cython
from jsp.engine.builder cimport Train
from jsp.engine.flow cimport ReceiveWindow, SendCredit
from jsp.engine.recv_stream cimport RecvStream
from jsp.engine.scheduler cimport Scheduler
from jsp.engine.send_stream cimport SendStream
from jsp.wire.frames cimport StreamFrame

cdef long long _STREAMS_MAX
cdef long long _RESET_TOKEN
cdef object _RECEIVED
cdef object _SENT
cdef object _OPEN


cdef class Stream:
    cdef public long long id
    cdef public RecvStream recv
    cdef public bint released
    cdef public SendStream send

    cpdef bint is_over(self) except? -1


cdef class StreamTable:
    cdef list _advertised
    cdef list _blocked_told
    cdef list _closed
    cdef object _config
    cdef SendCredit _credit
    cdef list _events
    cdef object _initial
    cdef readonly list _next
    cdef list _peer_blocked
    cdef list _peer_limit
    cdef list _peer_next
    cdef long long _peer_stream_window
    cdef object _reset_rate
    cdef Scheduler _scheduler
    cdef long long _server
    cdef list _wanted
    cdef ReceiveWindow _window
    cdef readonly dict _writers
    cdef public dict control
    cdef public dict streams
    cdef public list update_due

    cpdef on_params(self, long long bidi, long long uni, long long stream_window)
    @cython.locals(kind=cython.longlong)
    cpdef Stream open(self, bint unidirectional)
    cpdef Stream _create(self, long long stream_id, bint send, bint receive)
    cpdef Stream for_frame(self, long long stream_id, bint to_receive)
    cpdef _check_direction(self, long long stream_id, bint to_receive)
    @cython.locals(kind=cython.longlong)
    cpdef Stream _accept(self, long long stream_id)
    @cython.locals(stream=Stream)
    cpdef bint is_late(self, long long stream_id, long long number, bint newest) except? -1
    @cython.locals(stream=Stream, recv=RecvStream)
    cpdef on_data(self, StreamFrame frame, bytearray data, long long number)
    cpdef on_reset(self, long long stream_id, long long code, long long final_size, double now)
    cpdef on_stop(self, long long stream_id, long long code, double now)
    cpdef _charge_reset(self, double now)
    cpdef on_max_stream_data(self, long long stream_id, long long limit)
    cpdef on_blocked(self, long long stream_id, long long limit)
    cpdef on_max_streams(self, long long kind, long long limit)
    cpdef on_streams_blocked(self, long long kind, long long limit)
    @cython.locals(recv=RecvStream, send=SendStream)
    cpdef touch(self, Stream stream)
    cpdef release(self, Stream stream)
    @cython.locals(kind=cython.longlong, limit=cython.longlong)
    cpdef _settle(self, Stream stream)
    @cython.locals(done=list, stream=Stream)
    cpdef settle_done(self)
    cpdef want_writable(self, Stream stream)
    @cython.locals(low=cython.longlong, stream=Stream, send=SendStream)
    cpdef check_writers(self)
    @cython.locals(stream=Stream, send=SendStream)
    cpdef bint unfinished(self) except? -1
    cpdef bint has_control(self) except? -1
    @cython.locals(kind=cython.longlong, limit=cython.longlong, stream=Stream)
    cpdef bint write_control(self, Train train, double now, double shortest_rtt) except? -1
    @cython.locals(send=SendStream)
    cpdef bint _write_stream_control(self, Stream stream, Train train, double now, double shortest_rtt) except? -1
    cpdef on_acked(self, long long kind, long long _)
    cpdef on_lost(self, long long kind, long long _)


cdef class StreamControl:
    cdef Stream _stream
    cdef StreamTable _table

    cpdef on_acked(self, long long token, long long _)
    cpdef on_lost(self, long long token, long long _)

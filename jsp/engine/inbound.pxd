# C types of inbound.py.
import cython
cimport jsp.wire.frames as frames
cimport jsp.wire.memory as memory
from jsp.crypto.protection cimport OpenKeys
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.keying cimport HandshakeLevel
from jsp.engine.path cimport Path
from jsp.engine.recv_messages cimport RecvMessages
from jsp.engine.traffic cimport Received
from jsp.recovery.acks cimport AckTracker
from jsp.recovery.loss cimport PacketSpace
from jsp.wire.buffer cimport PacketBuffer, Reader
from jsp.wire.frames cimport Ack, MessageFrame, StreamFrame
from jsp.wire.packet cimport LongHeader

cdef long long _STREAM
cdef long long _STREAM_LAST
cdef long long _STREAM_NEXT
cdef long long _ACK
cdef long long _ACK_ECN
cdef long long _ACK_SHORT
cdef long long _PADDING
cdef long long _MESSAGE
cdef long long _MESSAGE_LAST
cdef long long _ABANDON
cdef long long _SKIPPABLE
cdef long long _ACK_FREQUENCY
cdef long long _CUT_ELSEWHERE
cdef long long _APPLICATION
cdef long long _ELICITING
cdef long long _NOT_PROBING
cdef long long _MESSAGE_SEEN
cdef long long _LATE
cdef long long _REPAIRED
cdef bytes _PERMITTED


@cython.locals(
    number_at=cython.longlong, largest=cython.longlong, eliciting=cython.longlong, fresh=cython.longlong,
    packets=cython.longlong, number=cython.longlong, body=cython.longlong, stop=cython.longlong,
    found=cython.longlong, keys=OpenKeys, acks=AckTracker, opened=list, data=bytearray, moved=cython.bint,
)
cpdef receive_short(
    ConnectionCore conn, double now, PacketBuffer slots, long long start, long long end, Received received, Path path
)
@cython.locals(stop=cython.longlong)
cpdef _keep_early(ConnectionCore conn, bytearray data, long long start, long long end, Received received)
cpdef replay_early(ConnectionCore conn, double now)
@cython.locals(found=cython.longlong, path=Path, level=HandshakeLevel, plain=bytearray, acks=AckTracker)
cpdef receive_long(ConnectionCore conn, double now, PacketBuffer slots, LongHeader header, Received received)
@cython.locals(reader=Reader, stream=StreamFrame, found=cython.longlong, kind=cython.longlong)
cpdef long long walk(
    ConnectionCore conn, Path path, long long level, long long number, bytearray data, long long pos, long long end,
    double now, source
) except? -1
cpdef long long _on_stream(ConnectionCore conn, Reader reader, StreamFrame stream, long long number) except? -1
cpdef _skip_padding(Reader reader)
@cython.locals(acked_path=Path, space=PacketSpace)
cpdef _on_ack(ConnectionCore conn, Path path, long long level, Ack ack, double now)
@cython.locals(
    path_id=cython.longlong, sequence=cython.longlong, packets=cython.longlong, delay_us=cython.longlong,
    reordering=cython.longlong, delay=cython.double, path=Path,
)
cpdef _on_ack_frequency(ConnectionCore conn, Reader reader)
cpdef long long _on_extension(
    ConnectionCore conn, Reader reader, long long kind, long long found, double now
) except? -1
@cython.locals(stream=StreamFrame)
cpdef long long _on_short_form(
    ConnectionCore conn, Path path, Reader reader, long long kind, long long number, long long found, double now
) except? -1
@cython.locals(
    low=cython.longlong, delay=cython.double, space=PacketSpace, known=cython.longlong, largest=cython.longlong,
)
cpdef _on_ack_short(ConnectionCore conn, Path path, Reader reader, long long number, double now)
@cython.locals(messages=RecvMessages, frame=MessageFrame)
cpdef _on_message(ConnectionCore conn, Reader reader, long long kind, double now)
cpdef _signal(ConnectionCore conn)
cpdef _on_ping(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
@cython.locals(offset=cython.longlong, start=cython.longlong, stop=cython.longlong)
cpdef _on_crypto(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_reset(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_stop(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_max_data(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
@cython.locals(limit=cython.longlong)
cpdef _on_max_stream_data(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_max_streams(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
@cython.locals(limit=cython.longlong)
cpdef _on_blocked(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_new_cid(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_retire_cid(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_path_challenge(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_path_response(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_close(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_handshake_done(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)
cpdef _on_abandon(ConnectionCore conn, Reader r)
cpdef _on_new_token(ConnectionCore conn, Path path, long long level, Reader r, double now, source, long long kind)

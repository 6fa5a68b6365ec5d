# C types of outbound.py.
import cython
cimport jsp.wire.frames as frames
cimport jsp.wire.packet as packet
from jsp.crypto.protection cimport LongKeys, SealKeys
from jsp.engine.builder cimport Train
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.keying cimport HandshakeLevel
from jsp.engine.mtu_search cimport MtuSearch
from jsp.engine.path cimport Challenge, Path
from jsp.engine.traffic cimport Transmit
from jsp.recovery.acks cimport AckTracker
from jsp.recovery.loss cimport LossDetector, PacketSpace
from jsp.recovery.sent cimport SentRun
from jsp.wire.buffer cimport Writer

cdef long long _PROBE_MIN
cdef long long _AROUND
cdef long long _RANGES_MANY
cdef long long _LONG_FIXED


@cython.locals(path=Path)
cpdef Transmit poll_transmit(ConnectionCore conn, double now)
@cython.locals(path=Path)
cpdef Transmit _over_paths(ConnectionCore conn, double now)
@cython.locals(path=Path, out=bytes, more=bytes)
cpdef Transmit _handshake_flight(ConnectionCore conn, double now)
@cython.locals(
    level=HandshakeLevel, room=cython.longlong, used=cython.longlong, header=cython.longlong,
    space=cython.longlong, payload=bytearray, eliciting=cython.bint, full=cython.bint,
    out=bytes,
)
cpdef bytes _handshake_datagram(ConnectionCore conn, Path path, long long before, double now)
cpdef long long _header_size(ConnectionCore conn, Path path, long long level) except? -1
@cython.locals(eliciting=cython.bint, probing=cython.bint, send_crypto=cython.bint, writer=Writer, acks=AckTracker)
cpdef tuple _handshake_payload(ConnectionCore conn, HandshakeLevel level, long long room, double now)
@cython.locals(level=HandshakeLevel, payload=bytearray, sealed=bytes, run=SentRun)
cpdef bytes _seal_handshake(ConnectionCore conn, Path path, tuple built, double now)
@cython.locals(number=cython.longlong, header=bytes)
cpdef bytes _seal_long(ConnectionCore conn, Path path, HandshakeLevel level, LongKeys keys, bytearray payload)
@cython.locals(
    limit=cython.longlong, number=cython.longlong, size_of_number=cython.longlong, datagram=cython.longlong,
    space=PacketSpace, recovery=LossDetector, wants=cython.bint, ack_due=cython.bint, keys=SealKeys, train=Train,
)
cpdef Transmit _train(ConnectionCore conn, Path path, double now, bint chosen)
@cython.locals(train=Train, space=PacketSpace, recovery=LossDetector, run=SentRun, mark=cython.longlong)
cpdef Transmit _sent(ConnectionCore conn, Path path, double now, long long number)
@cython.locals(
    recovery=LossDetector, space=PacketSpace, number=cython.longlong, needed=cython.longlong, keys=SealKeys,
)
cpdef Transmit repeat(ConnectionCore conn, Path path, kept, double now)
cpdef _fill(ConnectionCore conn, Path path, Train train, double now, bint wants)
@cython.locals(acks=AckTracker, low=cython.longlong, at=cython.longlong)
cpdef _write_ack(ConnectionCore conn, Path path, Train train, double now, bint wants)
@cython.locals(other=Path, rtt=cython.double)
cpdef bint _write_control(ConnectionCore conn, Path path, Train train, double now) except? -1
@cython.locals(allowed=cython.longlong, recovery=LossDetector)
cpdef long long _allowance(ConnectionCore conn, Path path, long long datagram, double now) except? -1
cpdef bint _is_enough(ConnectionCore conn, Path path, long long datagram, long long limit) except? -1
@cython.locals(
    search=MtuSearch, size=cython.longlong, number=cython.longlong, size_of_number=cython.longlong,
    total=cython.longlong, keys=SealKeys, train=Train, space=PacketSpace,
)
cpdef Transmit _mtu_probe(ConnectionCore conn, Path path, double now)
cpdef Transmit _path_probe(ConnectionCore conn, Path path, double now)
cpdef Transmit _challenge(ConnectionCore conn, Path path, Challenge challenge, double now)
@cython.locals(
    size=cython.longlong, number=cython.longlong, total=cython.longlong, size_of_number=cython.longlong,
    keys=SealKeys, train=Train, space=PacketSpace,
)
cpdef Transmit _probe(
    ConnectionCore conn, Path path, long long kind, bytes data, tuple address, local, long long limit, double now
)
@cython.locals(
    number=cython.longlong, size_of_number=cython.longlong, size=cython.longlong, level=HandshakeLevel, writer=Writer,
    acks=AckTracker, train=Train, keys=SealKeys, payload=bytearray,
)
cpdef Transmit _next_close(ConnectionCore conn, double now)
@cython.locals(size=cython.longlong)
cpdef Transmit _finish(ConnectionCore conn, Path path, data, long long count, long long segment=*, long long ecn=*)

# C types of endpoint.py.
import cython
cimport jsp.wire.memory as memory
from jsp.engine.builder cimport Train
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.flow cimport Memory
from jsp.engine.traffic cimport Received, Transmit
from jsp.wire.buffer cimport PacketBuffer, Reader
from jsp.wire.frames cimport MessageFrame, StreamFrame
from jsp.wire.packet cimport LongHeader

cdef long long _LONG
cdef long long _SHORT
cdef long long _SHORT_MIN
cdef long long _RESET_MIN
cdef object _CLOSED


cdef class EndpointCore:
    cdef object _admission
    cdef public object _entropy
    cdef list _evicted
    cdef dict _initial_routes
    cdef object _replies
    cdef object _reply_rate
    cdef bytes _reset_secret
    cdef dict _reset_watch
    cdef readonly dict _revealed
    cdef readonly dict _routes
    cdef PacketBuffer _scratch
    cdef bytes _token_key
    cdef set _unproven
    cdef dict _watched
    cdef public object accepted
    cdef public bint accepting
    cdef public long long cid_size
    cdef public object config
    cdef public set connections
    cdef public object credentials
    cdef public object destinations
    cdef public long long dropped
    cdef public object full
    cdef public Memory memory
    cdef public MessageFrame message_frame
    cdef public long long owner
    cdef public Reader reader
    cdef public object share
    cdef public StreamFrame stream_frame
    cdef public Train train
    cdef public bint whole_datagrams

    @cython.locals(cid=bytes)
    cpdef tuple new_cid(self, ConnectionCore connection, long long path_id)
    cpdef drop_cid(self, bytes cid)
    cpdef bytes _reset_token(self, bytes cid)
    cpdef watch_reset_tokens(self, ConnectionCore connection, frozenset tokens)
    cpdef bytes _token_digest(self, bytes token)
    cpdef on_address_proven(self, ConnectionCore connection)
    cpdef on_confirmed(self, ConnectionCore connection)
    @cython.locals(scratch=PacketBuffer)
    cpdef PacketBuffer load(self, bytes data)
    cpdef ConnectionCore connect(self, double now, double wall_time, remote, credentials, str source=*)
    cpdef bint forget_if_over(self, ConnectionCore connection) except? -1
    @cython.locals(
        data=bytearray, segment=cython.longlong, start=cython.longlong, size=cython.longlong, end=cython.longlong,
        first=cython.longlong, cid=bytes,
    )
    cpdef list handle_datagram(self, double now, double wall_time, PacketBuffer slots, Received received)
    @cython.locals(connection=ConnectionCore)
    cpdef ConnectionCore _handle_short(
        self, double now, PacketBuffer slots, long long start, long long end, Received received, bytes cid
    )
    @cython.locals(last=cython.longlong, size=cython.longlong)
    cpdef ConnectionCore _handle_unknown(
        self, double now, bytearray data, long long start, long long end, Received received, bytes cid
    )
    cpdef bint _pass_on(self, bytes cid, bytearray data, long long start, long long end, Received received) except? -1
    cpdef ConnectionCore _handle_long(
        self, double now, double wall_time, PacketBuffer slots, long long start, long long end, Received received
    )
    @cython.locals(connection=ConnectionCore, pos=cython.longlong, header=LongHeader, dcid=bytes)
    cpdef ConnectionCore _walk_long(
        self, double now, double wall_time, PacketBuffer slots, long long start, long long end, Received received
    )
    cpdef _handle_last_short(
        self, double now, PacketBuffer slots, long long pos, long long end, Received received, ConnectionCore connection
    )
    cpdef ConnectionCore _settle_new(self, double now, ConnectionCore connection)
    cpdef _make_room(self, double now)
    cpdef _drop(self, double now, ConnectionCore connection, closed)
    cpdef _refusal(self)
    cpdef ConnectionCore _route_long(self, double now, double wall_time, LongHeader header, Received received, long long size)
    cpdef ConnectionCore _find_long(self, LongHeader header)
    cpdef ConnectionCore _handle_version(
        self, double now, LongHeader header, Received received, bytearray data, long long size
    )
    cpdef _on_version_negotiation(self, double now, LongHeader header, bytearray data, ConnectionCore connection)
    cpdef ConnectionCore _accept(self, double now, double wall_time, LongHeader header, Received received, long long size)
    cpdef bint _may_reply(self, double now) except? -1
    cpdef poll_transmit(self)

# C types of connection.py.
import cython
cimport jsp.engine.deadlines as deadlines
cimport jsp.engine.inbound as inbound
cimport jsp.engine.outbound as outbound
from jsp.engine.builder cimport Train
from jsp.engine.control cimport Control
from jsp.engine.flow cimport ConnectionWindow, ReceiveWindow, SendCredit
from jsp.engine.key_phases cimport KeyPhases
from jsp.engine.keying cimport Keying
from jsp.engine.lifecycle cimport Lifecycle
from jsp.engine.mobility cimport Mobility
from jsp.engine.out_message cimport OutMessage
from jsp.engine.path cimport Path
from jsp.engine.recv_messages cimport RecvMessages
from jsp.engine.scheduler cimport Scheduler
from jsp.engine.send_messages cimport SendMessages
from jsp.engine.stats cimport Counters
from jsp.engine.streams cimport Stream, StreamTable
from jsp.engine.timers cimport TimerTable
from jsp.engine.traffic cimport Received, Transmit
from jsp.wire.buffer cimport PacketBuffer, Reader
from jsp.wire.frames cimport MessageFrame, StreamFrame
from jsp.wire.packet cimport LongHeader

cdef double _ROTATE_AFTER_S
cdef double _CONTROL_RATIO
cdef double _CONTROL_BURST
cdef object _LINGERING


cdef class ConnectionCore:
    cdef double _control_tokens
    cdef bint _deadlines_stand
    cdef object _host
    cdef public bint alone
    cdef public bytes asleep
    cdef public long long cid_size
    cdef public object config
    cdef public bint confirmed
    cdef public Control control
    cdef public Counters counters
    cdef public SendCredit credit
    cdef public tuple early
    cdef public long long elsewhere
    cdef public object entropy
    cdef public list events
    cdef public double first_sent
    cdef public double idle_timeout
    cdef public Keying keying
    cdef public KeyPhases keys
    cdef public double last_heard
    cdef public double last_sent
    cdef public Lifecycle lifecycle
    cdef public Mobility mobility
    cdef public dict negotiated
    cdef public bytes original_dcid
    cdef public Path path
    cdef public dict paths
    cdef public long long peer_cid_limit
    cdef public bytes peer_compression
    cdef public object peer_id
    cdef public object protocol
    cdef public Reader reader
    cdef public RecvMessages recv_messages
    cdef public Scheduler scheduler
    cdef public object scid
    cdef public SendMessages send_messages
    cdef public bint server
    cdef public object server_name
    cdef public StreamFrame stream_frame
    cdef public MessageFrame message_frame
    cdef public StreamTable streams
    cdef public TimerTable timers
    cdef public bytes token
    cdef public Train train
    cdef public double wake_at
    cdef public ReceiveWindow window
    cdef object __weakref__

    @cython.locals(path=Path)
    cpdef Path make_path(self, long long path_id, remote, local, bytes own_cid, bytes peer_cid)
    cpdef tuple new_cid(self, long long path_id)
    cpdef handle_datagram(
        self, double now, PacketBuffer slots, long long start, long long end, Received received,
        long long path_id,
        LongHeader header=*
    )
    @cython.locals(path=Path)
    cpdef _handle_new_path(
        self, double now, PacketBuffer slots, long long start, long long end, Received received, long long path_id
    )
    cpdef on_datagram_received(self, long long size, source)
    cpdef handle_timeout(self, double now)
    @cython.locals(transmit=Transmit)
    cpdef Transmit poll_transmit(self, double now)
    cpdef double poll_timeout(self) except? -1
    cpdef wake(self)
    cpdef _settle_deadlines(self)
    cpdef poll_event(self)
    cpdef accept_peer(self, double now)
    cpdef Stream open_stream(self, bint unidirectional=*)
    @cython.locals(messages=SendMessages)
    cpdef OutMessage send_message(
        self, double now, bytes data, mode, bint ordered,
        long long urgency=*,
        key=*
    )
    cpdef long long ping(self) except? -1
    cpdef hurry_answer(self)
    cpdef close(self, double now, long long code, reason)
    cpdef close_now(self, double now, long long code, reason, bint application=*)
    cpdef bytes read(self, Stream stream, long long limit)
    @cython.locals(size=cython.longlong)
    cpdef long long read_into(self, Stream stream, target) except? -1
    cpdef prioritize(self, Stream stream, long long urgency, bint incremental)
    cpdef bint is_closed(self) except? -1
    cpdef bint has_credit_to_tell(self) except? -1
    @cython.locals(path=Path)
    cpdef bint has_frames(self) except? -1
    cpdef on_heard(self, double now, long long packets)
    cpdef on_eliciting_sent(self, double now)
    cpdef spend_control(self, long long cost)
    cpdef on_rebinding(self, Path path, Received received, long long size)
    @cython.locals(path=Path)
    cpdef refresh_reset_tokens(self)
    cpdef check_message_room(self)
    cpdef replay_early(self, double now)
    @cython.locals(path=Path)
    cpdef bint on_mtu_hint(self, remote, long long size) except? -1
    @cython.locals(path=Path)
    cpdef on_too_large(self, Transmit transmit, long long size)
    @cython.locals(settled=cython.bint)
    cpdef prepare_keys(self, Path path, double now)
    cpdef on_key_update(self, double now)
    cpdef fail(self, double now, error)
    cpdef end(self, double now, moved, closed)
    cpdef _check_flushed(self, double now)
    cpdef finish_linger(self, double now)
    cpdef _forget(self)
    cpdef on_drained(self)
    cpdef double probe_timeout(self) except? -1
    cpdef _after(self, double now)

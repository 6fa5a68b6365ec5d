# cython: language_level=3, annotation_typing=False, nonecheck=True
"""One connection: builds the parts, offers the five verbs and the owner's commands.

Who does the work: `inbound` and `outbound` walk packets, `keying` the handshake, `path` addresses and recovery,
`streams`, `send_messages` and `recv_messages` the data, `lifecycle` the end. This file only ties them together.

Call `handle_datagram`, `handle_timeout` or any command, then `poll_event` until None, then `poll_transmit` until
None, then ask `poll_timeout` when to call `handle_timeout` at the latest; it may have changed after each of them.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable

import jsp.engine.deadlines as deadlines
import jsp.engine.inbound as inbound
import jsp.engine.outbound as outbound
from jsp.config import DEFAULT_DATAGRAM_SIZE, LIMITS, Config
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import PeerId
from jsp.crypto.kem import Entropy
from jsp.engine import ending, establish, hibernation
from jsp.engine.cids import LocalCids, RemoteCids
from jsp.engine.control import Control
from jsp.engine.events import Closed, MessagesWritable
from jsp.engine.flow import ConnectionWindow, SendCredit
from jsp.engine.host import Host
from jsp.engine.key_phases import KeyPhases
from jsp.engine.keying import Keying
from jsp.engine.lifecycle import Lifecycle
from jsp.engine.mobility import Mobility
from jsp.engine.modes import Mode
from jsp.engine.out_message import OutMessage
from jsp.engine.path import Path
from jsp.engine.recv_messages import RecvMessages
from jsp.engine.scheduler import DEFAULT_URGENCY, Scheduler
from jsp.engine.send_messages import SendMessages
from jsp.engine.states import Moved, State
from jsp.engine.stats import Counters
from jsp.engine.streams import Stream, StreamTable
from jsp.engine.timers import DRAIN, KEYS, LINGER, NEVER, TimerTable
from jsp.engine.traffic import Endpoint, Event, Received, Transmit
from jsp.errors import Code, ForkedConnection, MessageTooLarge, ProtocolViolation
from jsp.wire import frames
from jsp.wire.buffer import PacketBuffer
from jsp.wire.packet import LongHeader

log = logging.getLogger("jsp")

# A connection that was silent this long changes its connection id, so that whoever watches the network cannot
# tie what comes after to what came before (spec section 4.3).
_ROTATE_AFTER_S = 60.0

_CONTROL_RATIO = LIMITS.control_ratio
_CONTROL_BURST = float(LIMITS.control_burst)

# Looking a member up in its class costs more than a comparison of it.
_LINGERING = State.LINGERING


class ConnectionCore:
    """The protocol of one connection, without I/O.

    Attributes the owner may read: `server`, `state` (through `lifecycle`), `peer_id`, `paths`, `path` (the one that is
    used first), `counters`, `streams`, `remote` parameters. Everything else belongs to the engine.

    While it hibernates, its parts are bytes in `asleep`. The five verbs and `end` may be called all the same; for
    anything else the owner calls `wake` first.
    """

    __slots__ = (
        "_control_tokens", "_deadlines_stand", "_host", "alone", "asleep", "cid_size", "config", "confirmed", "control",
        "counters", "credit", "early", "elsewhere", "entropy", "events", "first_sent", "idle_timeout", "keying", "keys",
        "last_heard", "last_sent", "lifecycle", "message_frame", "mobility", "negotiated", "original_dcid", "path",
        "paths", "peer_cid_limit", "peer_compression", "peer_id", "protocol", "reader", "recv_messages", "scheduler",
        "scid", "send_messages", "server", "server_name", "stream_frame", "streams", "timers", "token", "train",
        "wake_at", "window", "__weakref__",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        config: Config,
        credentials: Credentials,
        remote: Endpoint,
        local: Endpoint | None,
        now: float,
        wall_time: float,
        entropy: Entropy,
        odcid: bytes,
        client_scid: bytes | None = None,
    ) -> None:
        """A client's connection, or a server's when `client_scid` says to whom it answers.

        `now`: seconds of the owner's monotonic clock; `wall_time`: seconds since 1970; `odcid`: the client's
        first destination connection id.
        """
        self.server = client_scid is not None
        self.config, self.entropy, self.original_dcid = config, entropy, odcid
        self._host, self.cid_size = host, host.cid_size
        self.train, self.reader = host.train, host.reader
        self.stream_frame, self.message_frame = host.stream_frame, host.message_frame
        self.asleep: bytes | None = None
        self.wake_at = NEVER
        self._deadlines_stand = False
        self.events: list[Event] = []
        self.lifecycle = Lifecycle()
        self.timers = TimerTable()
        self.counters = Counters()
        self.confirmed = False
        self.token = b""
        self.early: tuple[tuple[bytes, Received], ...] = ()
        self.keys = KeyPhases()
        self.peer_id: PeerId | None = None
        self.protocol = self.server_name = ""
        self.negotiated: dict[str, str] = {}
        self.peer_cid_limit, self.peer_compression = 2, b""
        self.idle_timeout = self.first_sent = NEVER
        self.last_heard = self.last_sent = now
        self._control_tokens = _CONTROL_BURST

        self.credit = SendCredit(0)
        self.window = ConnectionWindow(config.receive_window, host.memory)
        self.scheduler = Scheduler()
        self.control = Control(self.credit, self.window, self.scheduler, self.events)
        self.streams = StreamTable(self.server, config, self.credit, self.window, self.scheduler, self.events)
        self.send_messages = SendMessages(self.credit, self.scheduler, self.events)
        self.recv_messages = RecvMessages(config, self.window)

        self.scid, reset_token = host.new_cid(self, 0)
        # Until there is a second path, packets may leave out more; what came by others than the first (spec 9.3).
        self.alone, self.elsewhere = True, 0
        self.path = self.make_path(0, remote, local, self.scid, odcid if client_scid is None else client_scid)
        # A server may not send much to an address before it has answered from there.
        self.path.validated = not self.server or self.path.reliable
        self.paths = {0: self.path}
        self.mobility: Mobility | None = None
        self.keying: Keying | None = None
        establish.start(self, reset_token, now, wall_time, credentials, client_scid)

    def make_path(
        self, path_id: int, remote: Endpoint, local: Endpoint | None, own_cid: bytes, peer_cid: bytes
    ) -> Path:
        """A path under the first ids of either side; empty: none yet."""
        path = Path(path_id, remote, local, DEFAULT_DATAGRAM_SIZE, self.config.congestion, self.config.max_ack_delay)
        path.local_cids = LocalCids(path_id, own_cid, self.new_cid, self._host.drop_cid)
        path.remote_cids = RemoteCids(path_id, peer_cid)
        if path_id:
            path.follow(self.path)
        return path

    def new_cid(self, path_id: int) -> tuple[bytes, bytes]:
        """A fresh id by which the peer reaches us on a path, and its reset token."""
        return self._host.new_cid(self, path_id)

    @property
    def host(self) -> Host:
        """The endpoint this connection lives in."""
        return self._host

    # --- the five verbs ------------------------------------------------------------------------------------

    def handle_datagram(
        self, now: float, slots: PacketBuffer, start: int, end: int, received: Received, path_id: int,
        header: LongHeader | None = None,
    ) -> None:  # fmt: skip
        """Packets for this connection in `slots[start:end]`: one with a long `header`, or 1-RTT packets
        `received.segment_size` apart that came by a connection id of path `path_id`."""
        self.wake()
        self.control.now = now
        self.counters.bytes_received += end - start
        self.counters.datagrams_received += -(-(end - start) // received.segment_size)
        if self.lifecycle.is_closed():
            if self.lifecycle.wants_answer():
                ending.queue_close(self)
            return
        path = self.paths.get(path_id)
        try:
            if path is None:
                self._handle_new_path(now, slots, start, end, received, path_id)
            elif header is None:
                inbound.receive_short(self, now, slots, start, end, received, path)
            else:
                inbound.receive_long(self, now, slots, header, received)
                establish.pump(self, now)
        except ProtocolViolation as error:
            self.fail(now, error)
        self._after(now)

    def _handle_new_path(
        self, now: float, slots: PacketBuffer, start: int, end: int, received: Received, path_id: int
    ) -> None:
        """Packets by an id that was given out for a path which the peer has not opened yet."""
        path = self.mobility.arriving(self, path_id, received) if self.mobility is not None else None
        if path is None or self.mobility is None:
            return
        inbound.receive_short(self, now, slots, start, end, received, path)
        if path.space.acks.largest < 0:
            del self.paths[path_id]  # nobody knows who sent them
        elif not self.is_closed():
            self.mobility.arrived(self, path)

    def on_datagram_received(self, size: int, source: Endpoint) -> None:
        """A datagram of `size` bytes came for this connection by a long header; raises what may be sent back there."""
        self.wake()
        path = self.paths[0]
        if not path.validated and source == path.remote:
            path.received += size

    def handle_timeout(self, now: float) -> None:
        """Time has passed; does nothing when no deadline has come."""
        if self.asleep is not None and now < self.wake_at:
            return
        self.wake()
        self.control.now = now
        self._settle_deadlines()
        deadlines.expire(self, now)
        self._after(now)

    def poll_transmit(self, now: float) -> Transmit | None:
        """The next datagrams to send, or None; what it returns is valid until the next call."""
        if self.asleep is not None:
            return None
        self.control.now = now
        try:
            transmit = outbound.poll_transmit(self, now)
        except ProtocolViolation as error:
            self.fail(now, error)
            transmit = outbound.poll_transmit(self, now)
        except ForkedConnection:
            raise
        except Exception:
            # A bug here. What the train held is in no ledger, so the connection cannot go on.
            log.exception("the connection with %s ends by an internal error", self.path.remote)
            if self.is_closed():
                self.lifecycle.close_due = ()  # not even CLOSE can be said
                return None
            self.close_now(now, Code.INTERNAL, "internal error")
            return self.poll_transmit(now)
        self._deadlines_stand = False
        return transmit

    def poll_timeout(self) -> float:
        """When `handle_timeout` must be called at the latest; infinity: no need."""
        if self.asleep is not None:
            return self.wake_at
        self._settle_deadlines()
        return self.timers.next()

    def _settle_deadlines(self) -> None:
        # Worked out when somebody asks, which is once for all that comes and goes together.
        if not self._deadlines_stand:
            self._deadlines_stand = True
            deadlines.update(self, self.control.now)

    def poll_event(self) -> Event | None:
        """The next event, or None."""
        return self.events.pop(0) if self.events else None

    # --- commands ------------------------------------------------------------------------------------------

    def accept_peer(self, now: float) -> None:
        """The answer to `PeerPresented`: the peer is welcome (else `close_now`)."""
        self.control.now = now
        if self.is_closed():
            return
        assert self.keying is not None
        try:
            self.keying.machine.accept()
            establish.pump(self, now)
        except ProtocolViolation as error:
            self.fail(now, error)
        self._after(now)

    def open_stream(self, unidirectional: bool = False) -> Stream | None:
        """A new stream; None when the peer allows no more for now (`StreamsAvailable` will tell)."""
        return self.streams.open(unidirectional)

    def send_message(
        self, now: float, data: bytes, mode: Mode, ordered: bool,
        urgency: int = DEFAULT_URGENCY, key: Hashable | None = None,
    ) -> OutMessage | None:  # fmt: skip
        """Queue a message; None when the queue is full (`MessagesWritable` will tell)."""
        messages = self.send_messages
        if len(data) > messages.max_message:
            raise MessageTooLarge(f"message of {len(data)} bytes; the peer takes {messages.max_message} at most")
        if not messages.has_room(len(data), self.config.send_buffer, key):
            messages.room_wanted = True
            return None
        return messages.send(data, mode, ordered, now, urgency, key)

    def ping(self) -> int:
        """Ask for a round trip; `PingAnswered` brings the token back."""
        return self.control.ping()

    def hurry_answer(self) -> None:
        """Somebody waits for what has been sent to be acknowledged: a PING is answered at once."""
        self.control.ping_due = True

    def close(self, now: float, code: int, reason: str) -> None:
        """Deliver what was written, for at most `Config.close_timeout`, then close."""
        state = self.lifecycle.state
        if state is State.OPEN:
            self.lifecycle.linger()
            self.timers.deadlines[LINGER] = now + self.config.close_timeout
            self.lifecycle.closing_with = Closed(code, reason, by_peer=False, application=True)
            self._check_flushed(now)
            self.hurry_answer()
        elif state is State.HANDSHAKE:
            self.close_now(now, code, reason, application=True)

    def close_now(self, now: float, code: int, reason: str, application: bool = False) -> None:
        """Close without waiting for anything."""
        self.end(now, Moved.CLOSE, Closed(int(code), reason, by_peer=False, application=application))

    # --- the owner's reading and writing -------------------------------------------------------------------

    def read(self, stream: Stream, limit: int) -> bytes:
        """At most `limit` bytes of `stream`; empty when there are none now."""
        assert stream.recv is not None
        data = stream.recv.read(limit)
        self.streams.touch(stream)
        return data

    def read_into(self, stream: Stream, target: memoryview) -> int:
        """Read into `target`; returns how many bytes."""
        assert stream.recv is not None
        size = stream.recv.read_into(target)
        self.streams.touch(stream)
        return size

    def prioritize(self, stream: Stream, urgency: int, incremental: bool) -> None:
        """Change whose turn the stream's data has: urgency 0 goes first, and inside one those that are not
        incremental go before those opened later."""
        assert stream.send is not None
        self.scheduler.change(stream.send, urgency, incremental)

    # --- what inbound and outbound report --------------------------------------------------------------------

    def is_closed(self) -> bool:
        """Whether the connection is over, but for telling the peer."""
        return self.lifecycle.is_closed()

    def has_credit_to_tell(self) -> bool:
        """Whether what was read makes an update of credit due: all that reading brings about."""
        return self.window.update_due or bool(self.streams.control)

    def has_frames(self) -> bool:
        """Whether control frames wait to be sent."""
        messages = self.send_messages.has_control() or self.recv_messages.has_control()
        if messages or self.control.has_frames() or self.streams.has_control():
            return True
        if self.mobility is not None and self.mobility.due:
            return True
        for path in self.paths.values():
            if not path.closing and (path.local_cids.has_frames() or path.remote_cids.has_frames()):
                return True
        return False

    def on_heard(self, now: float, packets: int) -> None:
        """New authentic packets arrived."""
        self.last_heard = now
        self.first_sent = NEVER
        self._control_tokens = min(self._control_tokens + packets * _CONTROL_RATIO, _CONTROL_BURST)

    def on_eliciting_sent(self, now: float) -> None:
        """Something left that wants an answer."""
        self.last_sent = now
        if self.first_sent == NEVER:
            self.first_sent = now

    def spend_control(self, cost: int) -> None:
        """SPEC 8.6: control frames are free in proportion to packets; a flood of them ends the connection."""
        self._control_tokens -= cost
        if self._control_tokens < 0:
            raise ProtocolViolation(Code.EXCESSIVE_LOAD, "too many control frames")

    def on_rebinding(self, path: Path, received: Received, size: int) -> None:
        """The peer's newest packet came from another address."""
        path.rebind(received.remote, received.local, size, self.entropy(16), self.control.now)

    def refresh_reset_tokens(self) -> None:
        """The peer's connection ids changed, and with them the tokens that end this connection."""
        tokens: frozenset[bytes] = frozenset()
        for path in self.paths.values():
            if not path.closing:
                tokens |= path.remote_cids.reset_tokens
        self._host.watch_reset_tokens(self, tokens)

    def check_message_room(self) -> None:
        """Say that the message queue takes messages again, to an owner who waits for it."""
        messages = self.send_messages
        if messages.room_wanted and messages.has_drained(self.config.send_buffer):
            messages.room_wanted = False
            self.events.append(MessagesWritable())

    def wake(self) -> None:
        """Be as before hibernation."""
        if self.asleep is not None:
            hibernation.wake(self)

    def replay_early(self, now: float) -> None:
        """Take the 1-RTT packets that came before their keys."""
        inbound.replay_early(self, now)

    def on_mtu_hint(self, remote: Endpoint, size: int) -> bool:
        """ICMP says that to `remote` no datagram of more than `size` bytes passes; whether that is to be tried now."""
        paths = [] if self.asleep is not None else list(self.paths.values())
        return any([path.on_hint(size) for path in paths if path.remote[:2] == remote[:2]])  # noqa: C419 - all hear it

    def on_too_large(self, transmit: Transmit, size: int) -> None:
        """Our host lets no datagram of `size` bytes or more out to where `transmit` was to go."""
        for path in self.paths.values():
            if path.remote == transmit.remote and path.local == transmit.local:
                path.on_too_large(size)

    # --- keys ----------------------------------------------------------------------------------------------

    def prepare_keys(self, path: Path, now: float) -> None:
        """Before sealing for `path`: rotate what must not be used for longer (spec sections 4.3 and 7.5)."""
        if self.confirmed and now - max(self.last_heard, self.last_sent) > _ROTATE_AFTER_S:
            if path.remote_cids.rotate():
                self.refresh_reset_tokens()
        settled = self.confirmed and self.timers.deadlines[KEYS] == NEVER
        self.keys.renew_if_due(self.paths, settled, now)

    def on_key_update(self, now: float) -> None:
        """The peer sends under the next keys; the last ones are kept for packets still under way."""
        self.keys.on_peer_update(self.paths, now)
        self.timers.deadlines[KEYS] = now + 3 * self.probe_timeout()

    # --- the end -------------------------------------------------------------------------------------------

    def fail(self, now: float, error: ProtocolViolation) -> None:
        """The peer broke a rule (or our keys are used up)."""
        self.close_now(now, error.code, error.reason[: frames.REASON_MAX])

    def end(self, now: float, moved: Moved, closed: Closed) -> None:
        """The connection ends, however it came to that."""
        self.wake()
        told = self.lifecycle.closed is not None
        if not self.lifecycle.end(moved, closed):
            return
        if not told:
            self.events.append(closed)
        if self.keys.open is not None:  # else nobody is proven to be there
            for path in self.paths.values():
                path.learn(self._host.destinations, now)
        self.timers.clear()
        state = self.lifecycle.state
        if state is State.CLOSED:
            self._forget()
            return
        self.timers.deadlines[DRAIN] = now + 3 * self.probe_timeout()
        if state is State.CLOSING:
            ending.queue_close(self)
        else:
            self.keys.rest()  # nothing is opened or sealed any more: why should ciphers wait for late packets

    def _check_flushed(self, now: float) -> None:
        messages = self.send_messages
        if not (self.streams.unfinished() or messages.unresolved or messages.waiting):
            self.finish_linger(now)

    def finish_linger(self, now: float) -> None:
        """Everything was delivered, or the time for it is up."""
        closed = self.lifecycle.closing_with
        if closed is not None:
            self.end(now, Moved.PEER_CLOSED if closed.by_peer else Moved.CLOSE, closed)

    def _forget(self) -> None:
        for path in self.paths.values():
            path.local_cids.close()
        if self.mobility is not None:
            self.mobility.close(self)
        self.window.release()
        self._host.watch_reset_tokens(self, frozenset())
        self.keying = None
        self.early = ()

    def on_drained(self) -> None:
        """Late packets have had their time."""
        self.lifecycle.drained()
        self._forget()

    # --- time ----------------------------------------------------------------------------------------------

    def probe_timeout(self) -> float:
        """The probe timeout of the path in use, seconds."""
        return self.path.probe_timeout()

    def _after(self, now: float) -> None:
        if self.lifecycle.state is _LINGERING:
            self._check_flushed(now)
        # Messages leave the queue by being sent, and by running out of time.
        self.check_message_room()
        self._deadlines_stand = False

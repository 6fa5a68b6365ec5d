"""The one configuration object, and the limits nobody needs to change (each with its reason).

Sizes are bytes, times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from jsp.errors import LocalError

KIB = 1 << 10
MIB = 1 << 20

CIPHERS = ("chacha20-poly1305", "aes-256-gcm")
GROUPS = ("x25519mlkem768", "x25519mlkem1024", "x25519mlkem512", "x25519")
CONGESTION = ("newreno", "cubic", "bbr", "ledbat")
TCP_FALLBACKS = ("tcp", "tls")
PATH_SCHEDULERS = ("lowest-rtt", "weighted", "redundant")


@dataclass(frozen=True, slots=True)
class Compression:
    """zstd (RFC 8878), in effect where both ends have it, and then for those streams (`stream.compress`) and messages
    (`send(..., compress=True)`) that ask for it.

    Encryption hides what was sent, not how much. How well a secret compresses together with what an attacker chose
    tells about the secret: who sees the lengths of many tries finds it out byte by byte (CRIME, BREACH). So never
    compress in one stream or message what is secret and what others can choose. Messages are compressed each by
    itself, and streams each by itself. A dictionary counts as something that is in all of them.
    """

    level: int = 3
    "1 (fast) to 12 (small): milliseconds for a megabyte, in which nobody else has a turn."
    dictionary: bytes = b""
    "As `zstandard.train_dictionary` makes it; used when the peer has the same. Small messages gain most by one."
    offer: bytes = field(init=False, repr=False, compare=False, default=b"")
    "What the transport parameter says: bit 0 for zstd, then 8 bytes of the dictionary's SHA-256."

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 12:
            raise LocalError("Compression.level: 1 to 12")
        digest = sha256(self.dictionary).digest()[:8] if self.dictionary else b""
        object.__setattr__(self, "offer", b"\x01" + digest)


@dataclass(frozen=True, slots=True)
class Config:
    """How connections behave. Every field has a default that suits most; `dataclasses.replace` changes one."""

    ciphers: str | tuple[str, ...] = "auto"
    '"auto": AES-256-GCM where both ends have AES hardware, ChaCha20-Poly1305 elsewhere; a tuple of names fixes it.'
    groups: tuple[str, ...] = ("x25519mlkem768",)
    "Key exchange groups, best first."
    require_pq: bool = True
    "Refuse `groups` without a post-quantum part."
    protocols: tuple[str, ...] = ("jsp/1",)
    "Application protocols, best first; the handshake settles one that both ends name."
    congestion: str | Callable[[int], Any] = "cubic"
    "Congestion controller of every path: a name, or a class of one's own (docs/congestion-control.md)."
    max_datagram_size: int | None = None
    """UDP payload of the largest datagram to send, 1,200 to 65,507. None: what each path carries is found out, from
    1,200 on, which every one must carry."""
    receive_window: int = 24 * MIB
    "Stream and message bytes a peer may have sent that the application has not read yet, per connection."
    stream_window: int = 256 * KIB
    "The same for one stream, to begin with; it grows with use."
    stream_window_max: int = 16 * MIB
    "The most one stream's window grows to: 1 Gbit/s over 128 ms."
    memory_limit: int = 512 * MIB
    "Bytes a server's connections may hold unread together; above it one that holds more than its share is closed."
    send_buffer: int = MIB
    "Bytes written to one stream (or queued as messages) and not yet sent, before writing blocks."
    max_streams: int = 100
    "Bidirectional, and as many unidirectional, streams a peer may have open at once."
    max_message: int = 16 * MIB
    "The largest message taken from a peer; at most `receive_window`."
    best_effort_queue: int = 4 * MIB
    """Best-effort messages kept for an application that is slow to read them; newer ones are dropped and counted. As
    much, but at least `max_message`, for those that are not whole yet."""
    compression: Compression | None = None
    "What to decompress, and how to compress what asks for it. None: nothing is."
    repair: bool = True
    """Forward error correction of messages with a `ttl` (docs/guide.md), where both ends have it: sent while loss is
    measured that retransmission is too slow for, and taken from the peer."""
    idle_timeout: float | None = 30.0
    "Silence after which a connection is given up (the smaller of both ends' values counts). None: never."
    keep_alive: float | None = None
    "Send a PING after this long without traffic, so that NATs and the idle timeout leave the connection alone."
    handshake_timeout: float = 10.0
    "A handshake must be over by then."
    close_timeout: float = 3.0
    "How long `close` goes on delivering what was written."
    spin: float = 0.0
    """Seconds that a call which waits for the peer polls the socket before it lets others run, 0 to 0.001: the last
    microseconds of a round trip, paid with a core. 0: never."""
    max_ack_delay: float = 0.025
    "How long an acknowledgement of a single packet may wait (RFC 9000 section 13.2.1)."
    max_paths: int = 4
    "Ways to the peer at a time, migration's next one included, 1 to 8 (docs/mobility.md). 1: there is only the first."
    migrate: bool = True
    "Follow the machine to other networks, and look for another path when none answers, without being asked to."
    preferred_address: tuple[str, int] | None = None
    """A server's: another IP address and port of it, to which clients move after the handshake (RFC 9000 section 9.6):
    from one that many servers share, say, to one of its own."""
    path_scheduler: str = "lowest-rtt"
    "Which of several paths data takes: one of `PATH_SCHEDULERS` (docs/mobility.md)."
    tcp_fallback: str | None = None
    """"tcp": a client goes over TCP while UDP does not get through (docs/mobility.md), and a server takes TCP, too.
    "tls": with TLS 1.3 around it, for firewalls that let only that pass. Both ends must have the same."""
    tcp_port: int | None = None
    "The port at which a server takes TCP connections, and a client makes them. None: UDP's."
    connection_id_size: int = 4
    "Bytes of the connection ids this side chooses, 4 to 20."
    max_connections: int = 100_000
    "Connections of one server; further ones are refused."
    max_half_open: int = 1024
    "Handshakes a server has under way; a further one takes the place of the oldest that has not proven its address."
    rate_limit: float | None = None
    "Handshakes a second that a server starts for one address prefix (/32, /56); None: no limit."

    def __post_init__(self) -> None:
        names = (self.ciphers,) if isinstance(self.ciphers, str) else self.ciphers
        _check(
            self.ciphers == "auto" or (names and set(names) <= set(CIPHERS)), f"ciphers: 'auto' or some of {CIPHERS}"
        )
        _check(bool(self.groups) and set(self.groups) <= set(GROUPS), f"groups: some of {GROUPS}")
        _check(
            not self.require_pq or "x25519" not in self.groups,
            "group x25519 is not post-quantum: pass require_pq=False to allow it",
        )
        _check(
            self.congestion in CONGESTION or callable(self.congestion),
            f"congestion: one of {CONGESTION}, or a class that extends jsp.Controller",
        )
        size = self.max_datagram_size
        _check(size is None or 1200 <= size <= 65_507, "max_datagram_size: 1200 to 65507 bytes")
        _check(64 * KIB <= self.receive_window <= 1 << 40, "receive_window: 64 KiB or more")
        _check(16 * KIB <= self.stream_window <= self.stream_window_max, "stream_window: 16 KiB to stream_window_max")
        _check(self.memory_limit >= self.receive_window, "memory_limit: at least receive_window")
        # A message that could not be held whole would never be read, and its credit never come back.
        _check(self.message_limit <= self.receive_window - 64, "max_message: at most receive_window less 64 bytes")
        _check(self.max_message > 0, "max_message: above 0")
        _check(self.send_buffer > 0, "send_buffer: above 0")
        _check(0 <= self.max_streams <= 1 << 20, "max_streams: 0 to 1,048,576")
        _check(0 <= self.spin <= 0.001, "spin: 0 to 0.001 second")
        _check(0.001 <= self.max_ack_delay <= 1, "max_ack_delay: 0.001 to 1 second")
        _check(self.preferred_address is None or _is_address(self.preferred_address), "preferred_address: (IP, port)")
        _check(1 <= self.max_paths <= 8, "max_paths: 1 to 8")
        _check(self.path_scheduler in PATH_SCHEDULERS, f"path_scheduler: one of {PATH_SCHEDULERS}")
        _check(self.tcp_fallback in (None, *TCP_FALLBACKS), f"tcp_fallback: None or one of {TCP_FALLBACKS}")
        _check(self.tcp_port is None or 1 <= self.tcp_port <= 65535, "tcp_port: 1 to 65535")
        _check(4 <= self.connection_id_size <= 20, "connection_id_size: 4 to 20 bytes")
        for name in ("idle_timeout", "keep_alive", "handshake_timeout", "close_timeout", "rate_limit"):
            value = getattr(self, name)
            optional = name in ("idle_timeout", "keep_alive", "rate_limit")
            _check(optional if value is None else value > 0, f"{name}: above 0")
        _check(
            bool(self.protocols) and all(p.isascii() and 1 <= len(p) <= 64 for p in self.protocols),
            "protocols: ASCII names of 1 to 64 characters",
        )

    @property
    def message_limit(self) -> int:
        """The largest message as it is sent: where compression is possible, with a byte that says how it is coded."""
        return self.max_message + (self.compression is not None)


def _is_address(address: tuple[str, int]) -> bool:
    try:
        return ip_address(address[0]).version > 0 and 0 < address[1] < 65536
    except (ValueError, TypeError, IndexError):
        return False


def _check(holds: object, message: str) -> None:
    if not holds:
        raise LocalError(f"Config.{message}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer can make us hold or do, at most. Every peer-driven container has a line here."""

    crypto_buffer: int = 32 * KIB
    "Handshake bytes out of order, per level: the largest flight with composite identities is 6 kB."
    crypto_partial: int = 4 * KIB
    "Bytes of a ClientHello that is not whole yet: the largest there can be has 3 KiB."
    fragments: int = 8192
    "Gaps in the data of all streams and messages of a connection; a window of 16 MiB at 50 % loss has 6,700."
    partial_messages: int = 1024
    "Fragmented messages under reassembly; a sender keeps to the same number."
    best_effort_partial: int = 64
    "Fragmented best-effort messages under reassembly; the oldest is given up."
    best_effort_lifetime: float = 10.0
    "Seconds a fragmented best-effort message may take to arrive."
    places_ahead: int = 1 << 22
    "How far ahead in the order a message may be abandoned; each costs a bit."
    message_overhead: int = 64
    "Bytes each message costs beside its own, so that empty ones are not free (spec section 8.4)."
    coalesced_packets: int = 4
    "Packets in one datagram of the handshake."
    early_packets: int = 4
    "1-RTT packets kept while their keys are not there yet."
    early_bytes: int = 8 * KIB
    "Their bytes: whoever sees a half-open connection's id can send them."
    repair_bytes: int = 128 * KIB
    "Messages and repairs kept to recover lost messages from; the oldest give way, sooner when `memory_limit` is near."
    connection_ids: int = 8
    "Connection ids a peer may give us for one path."
    control_ratio: int = 8
    "Control frames for each packet received, over the last while; more is a flood."
    control_burst: int = 2000
    "Control frames that may come at once whatever the ratio."
    resets_burst: int = 1000
    "Streams reset while their handler runs; refilled at `resets_rate` a second."
    resets_rate: float = 33.0
    "Streams a second that may be reset in the long run."
    half_open_per_prefix: int = 256
    "Handshakes under way from one IPv4 address or /56, behind which there may be many people."


LIMITS: Limits = Limits()

# What every path must carry (RFC 9000 section 14), and larger datagrams are searched from.
DEFAULT_DATAGRAM_SIZE = 1200

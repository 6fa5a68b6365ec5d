"""What a connection tells about itself: numbers, paths, and one paragraph for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsp.engine.connection import ConnectionCore
from jsp.engine.path import Path
from jsp.engine.traffic import UDP, carrier_of


@dataclass(frozen=True, slots=True)
class PathInfo:
    """A way to the peer.

    Attributes:
        id: what `remove_path` takes; 0: the first one.
        local, remote: addresses as the socket module writes them.
        state: "validated", "validating", or "closing" when it was abandoned.
        rtt: smoothed round trip, seconds.
        mtu: largest datagram sent, bytes.
        cwnd: congestion window, bytes; over TCP, which has one of its own, only a bound.
        backup: whether it is only used when no other one answers.
        kind: what carries it: "udp", "tcp", or "tls" (TCP with TLS around it).
    """

    id: int
    local: tuple[Any, ...]
    remote: tuple[Any, ...]
    state: str
    rtt: float
    mtu: int
    cwnd: int
    backup: bool = False
    kind: str = "udp"


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Sizes in bytes, times in seconds, the rest are counts since the connection began."""

    bytes_sent: int
    bytes_received: int
    datagrams_sent: int
    datagrams_received: int
    packets_sent: int
    packets_received: int
    packets_lost: int
    packets_duplicate: int
    packets_dropped: int
    "Packets that did not authenticate."
    acks_sent: int
    rtt: float
    rtt_min: float
    rtt_variance: float
    cwnd: int
    in_flight: int
    mtu: int
    key_updates: int
    messages_expired: int
    "Partially reliable messages given up here."
    messages_dropped: int
    "Best-effort messages that came and found the queue full."
    messages_recovered: int
    "Messages whose packets were lost, and that repairs brought back here."
    repairs_sent: int
    repair_bytes: int
    "Size of the repairs sent (`Config.repair`)."
    streams_open: int


def path_info(path: Path, local: tuple[Any, ...]) -> PathInfo:
    """`path` as it is now; `local`: where the endpoint is, for a path that does not say it."""
    return PathInfo(
        id=path.id,
        local=plain(path.local or local),
        remote=plain(path.remote),
        state="closing" if path.closing else "validated" if path.validated else "validating",
        rtt=path.recovery.rtt.smoothed,
        mtu=path.mtu,
        cwnd=path.recovery.controller.window,
        backup=path.backup or path.peer_backup,
        kind=carrier_of(path.local),
    )


def plain(address: tuple[Any, ...]) -> tuple[Any, ...]:
    """An address of a path as the socket module writes it."""
    return address if carrier_of(address) == UDP else address[:2]


def path_infos(core: ConnectionCore, local: tuple[Any, ...]) -> list[PathInfo]:
    """The live paths of `core`."""
    return [path_info(path, local) for path in core.paths.values()]


def snapshot(core: ConnectionCore) -> ConnectionStats:
    """All numbers of `core` as they are now."""
    c = core.counters
    path = core.path
    recovery = path.recovery
    repair, taken = core.send_messages.repair, core.recv_messages.repair
    return ConnectionStats(
        bytes_sent=c.bytes_sent,
        bytes_received=c.bytes_received,
        datagrams_sent=c.datagrams_sent,
        datagrams_received=c.datagrams_received,
        packets_sent=c.packets_sent,
        packets_received=c.packets_received,
        packets_lost=sum(p.recovery.packets_lost for p in core.paths.values()),
        packets_duplicate=c.packets_duplicate,
        packets_dropped=c.packets_dropped,
        acks_sent=c.acks_sent,
        rtt=recovery.rtt.smoothed,
        rtt_min=recovery.rtt.minimum,
        rtt_variance=recovery.rtt.variance,
        cwnd=recovery.controller.window,
        in_flight=recovery.in_flight,
        mtu=path.mtu,
        key_updates=core.keys.updates,
        messages_expired=core.send_messages.expired,
        messages_dropped=core.recv_messages.dropped,
        messages_recovered=taken.recovered if taken is not None else 0,
        repairs_sent=repair.sent if repair is not None else 0,
        repair_bytes=repair.sent_bytes if repair is not None else 0,
        streams_open=len(core.streams.streams),
    )


def explain(core: ConnectionCore) -> str:
    """One paragraph: which path, and what limits the connection now."""
    path = core.path
    recovery = path.recovery
    where = f"{path.remote[0]}:{path.remote[1]}"
    state = core.lifecycle.state.name.lower()
    kind = carrier_of(path.local).upper()
    text = (
        f"The connection is {state}; it uses path {path.id} to {where} over {kind}, round trip "
        f"{recovery.rtt.smoothed * 1e3:.2f} ms, datagrams of {path.mtu} bytes{_searching(path)}. "
    )
    lost = recovery.packets_lost
    if core.counters.packets_sent:
        text += f"{lost} of {core.counters.packets_sent} packets were lost. "
    return text + _limit(core, path)


def _searching(path: Path) -> str:
    return "" if path.search is None or path.search.is_complete() else " so far"


def _limit(core: ConnectionCore, path: Path) -> str:
    recovery = path.recovery
    window = recovery.controller.window
    if not path.validated:
        return "The peer's new address is being validated; little is sent until it answers."
    if core.scheduler.credit_blocked:
        return "It waits for the peer's application to read: the connection's flow control window is full."
    if any(s.send is not None and s.send.is_blocked() for s in core.streams.streams.values()):
        return "A stream waits for the peer's application to read: its flow control window is full."
    if core.scheduler and recovery.held:
        return "It waits for the network: TCP takes no more now."
    if core.scheduler and recovery.in_flight + path.mtu > window:
        return f"It waits for the network: the congestion window of {window} bytes is full."
    if core.scheduler or core.has_frames():
        return "It is sending as fast as its pacing allows."
    return "Nothing waits to be sent: the application sets the pace."

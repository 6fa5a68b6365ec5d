# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The connection's own control frames: HANDSHAKE_DONE, MAX_DATA, the BLOCKED frames, PING (spec section 9)."""

from __future__ import annotations

from typing import Any

from jsp.engine.builder import Train
from jsp.engine.events import PingAnswered
from jsp.engine.flow import ReceiveWindow, SendCredit
from jsp.engine.scheduler import Scheduler
from jsp.engine.send_stream import SendStream
from jsp.engine.traffic import Event
from jsp.wire import frames
from jsp.wire.frames import push_frame


class Control:
    """Attributes:
    now: the time of the event being handled; the owner sets it.
    handshake_done_due: a server has told nobody yet that the handshake is confirmed.
    ping_due: a PING should go out for its own sake (keep-alive).
    told_blocked: the peer was told that credit holds something up.
    """

    __slots__ = (
        "_credit", "_events", "_next_ping", "_pings", "_scheduler", "_window", "handshake_done_due", "now", "ping_due",
        "told_blocked",
    )  # fmt: skip

    def __init__(self, credit: SendCredit, window: ReceiveWindow, scheduler: Scheduler, events: list[Event]) -> None:
        self._credit = credit
        self._window = window
        self._scheduler = scheduler
        self._events = events
        self._pings: list[int] = []
        self._next_ping = 0
        self.now = 0.0
        self.handshake_done_due = False
        self.ping_due = self.told_blocked = False

    def ping(self) -> int:
        """Measure a round trip; the token comes back in `PingAnswered`."""
        self._next_ping += 1
        self._pings.append(self._next_ping)
        return self._next_ping

    def has_frames(self) -> bool:
        return (
            self.handshake_done_due
            or self.ping_due
            or self._window.update_due
            or bool(self._pings)
            or bool(self._scheduler.stream_blocked)
            or (bool(self._scheduler.credit_blocked) and self._credit.blocked_at != self._credit.limit)
        )

    def write_frames(self, train: Train, now: float, shortest_rtt: float) -> bool:
        """Write what is due; False when the packet is full."""
        if train.room() < 32:
            return False
        if self.handshake_done_due:
            train.push_u8(frames.HANDSHAKE_DONE)
            self.handshake_done_due = False
            train.note(self, frames.HANDSHAKE_DONE, 0)
        if self._window.update_due:
            push_frame(train, frames.MAX_DATA, self._window.advance(now, shortest_rtt))
            train.note(self, frames.MAX_DATA, 0)
        if self._pings:
            # One PING measures for all who asked.
            train.push_u8(frames.PING)
            train.note(self, frames.PING, (self._pings, now))
            self._pings = []
            self.ping_due = False
        if self.ping_due and train.room():
            train.push_u8(frames.PING)
            train.mark_eliciting()
            self.ping_due = False
        return self._write_blocked(train)

    def _write_blocked(self, train: Train) -> bool:
        credit = self._credit
        if self._scheduler.credit_blocked and credit.blocked_at != credit.limit:
            if not push_frame(train, frames.DATA_BLOCKED, credit.limit):
                return False
            credit.blocked_at = credit.limit
            self.told_blocked = True
            train.note(self, frames.DATA_BLOCKED, credit)
        while self._scheduler.stream_blocked:
            stream = self._scheduler.stream_blocked[-1]
            if (
                isinstance(stream, SendStream)
                and stream.is_blocked()
                and stream.credit.blocked_at != stream.credit.limit
            ):
                if not push_frame(train, frames.STREAM_DATA_BLOCKED, stream.id, stream.credit.limit):
                    return False
                stream.credit.blocked_at = stream.credit.limit
                self.told_blocked = True
                train.note(self, frames.STREAM_DATA_BLOCKED, stream)
            self._scheduler.stream_blocked.pop()
        return True

    def on_acked(self, kind: int, value: Any) -> None:
        if kind == frames.PING:
            tokens, sent_time = value
            for token in tokens:
                self._events.append(PingAnswered(token, self.now - sent_time))

    def on_lost(self, kind: int, value: Any) -> None:
        if kind == frames.HANDSHAKE_DONE:
            self.handshake_done_due = True
        elif kind == frames.MAX_DATA:
            self._window.on_lost()
        elif kind == frames.DATA_BLOCKED:
            value.blocked_at = -1
        elif kind == frames.STREAM_DATA_BLOCKED:
            value.credit.blocked_at = -1
            if value.is_blocked():
                self._scheduler.on_blocked(value, True)
        else:
            # The same PING again would measure nonsense, so the answer to either counts from now on.
            self._pings += value[0]

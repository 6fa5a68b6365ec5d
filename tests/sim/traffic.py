"""Applications on virtual time: they write as the buffer allows, read at their own pace, and compare every byte."""

from __future__ import annotations

import random
from collections.abc import Callable

from jsp.engine.connection import ConnectionCore
from jsp.engine.events import MessagesReadable, MessagesWritable, StreamOpened
from jsp.engine.modes import BEST_EFFORT, RELIABLE, BestEffort, Mode, PartiallyReliable
from jsp.engine.out_message import OUTCOMES, OutMessage
from jsp.engine.states import Receiving, Sending
from jsp.engine.streams import Stream
from jsp.engine.traffic import StreamReadable, StreamWritable
from tests.sim.world import Node


class Side:
    """One end of a connection: what it sends, what it got. The two ends of a connection share `plan`."""

    def __init__(self, node: Node, connection: ConnectionCore, plan: Plan, client: bool) -> None:
        self.node = node
        self.connection = connection
        self.plan = plan
        self.client = client
        self.streams: dict[int, Stream] = {}
        self.got: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.writing: dict[int, tuple[Stream, bytes, int]] = {}
        self.messages: list[tuple[bytes, Mode, bool]] = []
        self.to_send = list(enumerate(plan.messages[client]))
        self.receipts: list[OutMessage] = []
        self.expected = plan.expected(client)
        self._rng = random.Random(plan.seed + client)

    # --- writing -------------------------------------------------------------------------------------------

    def open_streams(self) -> None:
        """Start everything this side opens."""
        for index, (size, unidirectional) in enumerate(self.plan.streams[self.client]):
            stream = self.connection.open_stream(unidirectional)
            assert stream is not None
            self.streams[stream.id] = stream
            self.writing[stream.id] = (stream, self.plan.content(self.client, index, size), 0)
            if self.plan.write_delay:
                # Opened now, written later: meanwhile the announcement may be lost.
                at = self.node.world.now + self._rng.random() * self.plan.write_delay
                self.node.world.schedule(at, lambda stream_id=stream.id: self._write_later(stream_id))
            else:
                self._write_stream(stream.id)
        self.write_messages()

    def _write_later(self, stream_id: int) -> None:
        self._write_stream(stream_id)
        self.node.flush(self.connection)

    def _write_stream(self, stream_id: int) -> None:
        stream, content, at = self.writing[stream_id]
        assert stream.send is not None
        while at < len(content) and stream.send.state is Sending.OPEN:
            if stream.send.unsent() > self.connection.config.send_buffer:
                self.writing[stream_id] = (stream, content, at)
                self.connection.streams.want_writable(stream)
                return
            size = self._rng.choice((1, 100, 1000, 10_000, 60_000))
            stream.send.write(content[at : at + size])
            at += size
        stream.send.finish()
        del self.writing[stream_id]

    def write_messages(self) -> None:
        while self.to_send:
            index, (content, mode, ordered) = self.to_send[0]
            urgency, key = self.plan.extras[self.client].get(index, (3, None))
            message = self.connection.send_message(self.node.world.now, content, mode, ordered, urgency, key)
            if message is None:
                return
            self.receipts.append(message)
            self.to_send.pop(0)

    # --- reading -------------------------------------------------------------------------------------------

    def on_event(self, event: object) -> None:
        if isinstance(event, StreamOpened):
            stream = self.connection.streams.streams[event.stream_id]
            self.streams[event.stream_id] = stream
            if not event.stream_id & 2:
                # A bidirectional stream is answered with as much as the plan says.
                self.writing[event.stream_id] = (stream, self.plan.reply(event.stream_id), 0)
                self._write_stream(event.stream_id)
        elif isinstance(event, StreamReadable):
            if self.plan.read_delay:
                at = self.node.world.now + self._rng.random() * self.plan.read_delay
                self.node.world.schedule(at, lambda: self._read_later(event.stream_id))
            else:
                self._read(event.stream_id)
        elif isinstance(event, StreamWritable):
            if event.stream_id in self.writing:
                self._write_stream(event.stream_id)
        elif isinstance(event, MessagesReadable):
            while (message := self.connection.recv_messages.read()) is not None:
                self.messages.append((message.data, message.mode, message.ordered))
        elif isinstance(event, MessagesWritable):
            self.write_messages()

    def _read_later(self, stream_id: int) -> None:
        self._read(stream_id)
        self.node.flush(self.connection)

    def _read(self, stream_id: int) -> None:
        stream = self.streams[stream_id]
        assert stream.recv is not None
        got = self.got.setdefault(stream_id, bytearray())
        got += self.connection.read(stream, 1 << 30)
        if stream.recv.at_end() or stream.recv.state is Receiving.DONE:
            self.ended.add(stream_id)
            if stream_id not in self.writing:
                self.connection.streams.release(stream)


class Plan:
    """What both ends send: streams (size, unidirectional) and messages, by side (index 1: the client)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.streams: list[list[tuple[int, bool]]] = [[], []]
        self.messages: list[list[tuple[bytes, Mode, bool]]] = [[], []]
        # (urgency, key) of some of them, by their place in the list.
        self.extras: list[dict[int, tuple[int, str | None]]] = [{}, {}]
        self.reply_size = 1000
        self.read_delay = 0.0
        self.write_delay = 0.0

    def content(self, client: bool, index: int, size: int) -> bytes:
        """The bytes of a stream."""
        return random.Random(f"{self.seed} {client} {index}").randbytes(size)

    def reply(self, stream_id: int) -> bytes:
        """What comes back on a bidirectional stream."""
        return random.Random(f"{self.seed} reply {stream_id}").randbytes(self.reply_size)

    def expected(self, of_client: bool) -> dict[int, bytes]:
        """What the side `of_client` must have read in the end, by stream."""
        out: dict[int, bytes] = {}
        counts = [0, 0]
        for index, (size, uni) in enumerate(self.streams[not of_client]):
            stream_id = counts[uni] << 2 | uni << 1 | (0 if not of_client else 1)
            counts[uni] += 1
            out[stream_id] = self.content(not of_client, index, size)
        counts = [0, 0]
        for _, uni in self.streams[of_client]:
            stream_id = counts[uni] << 2 | uni << 1 | (1 if not of_client else 0)
            counts[uni] += 1
            if not uni:
                out[stream_id] = self.reply(stream_id)
        return out


def run_plan(
    client: Node, server: Node, c: ConnectionCore, s: ConnectionCore, plan: Plan, limit: float = 600.0
) -> tuple[Side, Side]:
    """Carry `plan` out to the end and compare; returns both sides."""
    sides = (Side(client, c, plan, True), Side(server, s, plan, False))
    for side in sides:
        _attach(side)
        side.open_streams()
        side.node.flush(side.connection)
    world = client.world
    world.run_until(lambda: all(_is_done(side) for side in sides), limit)
    for side in sides:
        assert set(side.got) == set(side.expected)
        for stream_id, content in side.expected.items():
            assert side.got[stream_id] == content, f"seed {plan.seed}: stream {stream_id} differs"
    for side, other in (sides, reversed(sides)):
        check_messages(side, other)
    return sides


def _attach(side: Side) -> None:
    previous: Callable[..., None] | None = side.node.handler

    def handle(connection: ConnectionCore, event: object) -> None:
        if connection is side.connection:
            side.on_event(event)
        if previous is not None:
            previous(connection, event)

    side.node.handler = handle


def _is_done(side: Side) -> bool:
    assert side.connection.lifecycle.closed is None, f"seed {side.plan.seed}: {side.connection.lifecycle.closed}"
    return (
        len(side.ended) == len(side.expected)
        and not side.writing
        and not side.to_send
        and not side.connection.streams.unfinished()
        and not side.connection.send_messages.unresolved
        and not side.connection.send_messages.waiting
        and all(message.outcome for message in side.receipts)
    )


def check_messages(side: Side, sender: Side) -> None:
    """Reliable ones all came, once; the others at most once; ordered ones in order; receipts tell the truth."""
    sent = side.plan.messages[sender.client]
    keys = [side.plan.extras[sender.client].get(i, (3, None))[1] for i in range(len(sent))]
    got = [data for data, _, _ in side.messages]
    assert len(set(got)) == len(got), "a message came twice"
    assert set(got) <= {data for data, _, _ in sent}, "a message that was never sent"
    for i, (data, mode, _) in enumerate(sent):
        outcome = OUTCOMES[sender.receipts[i].outcome]
        latest = keys[i] is None or keys[i] not in keys[i + 1 :]
        if mode == RELIABLE:
            assert outcome == "delivered" or (outcome == "replaced" and not latest), "a reliable message is missing"
        if mode != BEST_EFFORT and outcome == "delivered":
            assert data in got, "delivered, and did not arrive"
        if outcome == "replaced":
            assert not latest
        if outcome == "expired":
            assert isinstance(mode, PartiallyReliable) and mode.ttl
    for kind in (type(RELIABLE), BestEffort):
        is_kind = (
            (lambda m: isinstance(m, BestEffort)) if kind is BestEffort else (lambda m: not isinstance(m, BestEffort))
        )
        order = [data for data, mode, ordered in sent if ordered and is_kind(mode)]
        came = [data for data, mode, ordered in side.messages if ordered and is_kind(mode)]
        assert came == [data for data in order if data in set(came)], "ordered messages out of order"
    assert not any(isinstance(mode, PartiallyReliable) and mode.ttl for _, mode, _ in side.messages)

"""Plays a mix over the engine, and tells what was sent for it."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from benchmarks.headers.mix import Mix
from benchmarks.headers.tally import Tally
from benchmarks.headers.world import CLIENT, End, World
from jsp.config import KIB, Config
from jsp.engine.events import MessagesReadable
from jsp.engine.modes import RELIABLE
from jsp.engine.streams import Stream
from jsp.engine.traffic import Event, StreamReadable

_DATAGRAM = 1452
_MESSAGE = "message"


def config() -> Config:
    """What is measured: ids of four bytes, datagrams that fit Ethernet, all else as it comes."""
    return Config(max_datagram_size=_DATAGRAM, idle_timeout=3600.0)


class Player:
    """Makes the writes of a mix as their turn comes."""

    def __init__(self, world: World, mix: Mix, coalesce: bool = True) -> None:
        """`coalesce`: whether what is written in one turn leaves together, as it does; else each write by itself."""
        self._world = world
        self._mix = mix
        self._coalesce = coalesce
        self._waiting: dict[int, list[int]] = defaultdict(list)
        self._left = len(mix.writes)
        self._streams: dict[tuple[int, str], Stream] = {}
        self._channels: dict[tuple[int, int], str] = {}
        self._written: dict[tuple[int, str], int] = defaultdict(int)
        self._arrived: dict[tuple[int, str], int] = defaultdict(int)
        # What must have arrived on a channel for each of its writes to be complete, in order.
        self._ends: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
        self._target = memoryview(bytearray(1024 * KIB))

    def play(self) -> None:
        """All of it, to the last arrival."""
        self.begin()
        self._world.run_until(lambda: not self._left)

    def begin(self) -> None:
        """What comes first, as soon as time goes on."""
        for i, write in enumerate(self._mix.writes):
            self._waiting[write.after].append(i)
        for end in self._world.ends:
            end.on_event = partial(self._on_event, end)
        self._release(-1)

    def _release(self, after: int) -> None:
        for i in self._waiting.pop(after, ()):
            self._world.schedule(self._world.now + self._mix.writes[i].wait, partial(self._write, i))

    def _write(self, i: int) -> None:
        write = self._mix.writes[i]
        end = self._world.ends[write.side]
        key = (write.side, write.channel)
        if write.channel == _MESSAGE:
            for _ in range(write.messages):
                end.open.send_messages.send(bytes(write.size), RELIABLE, False, self._world.now)
                if not self._coalesce:
                    end.flush()
            self._written[key] += write.messages
        else:
            stream = self._stream(end, write.channel)
            assert stream.send is not None
            stream.send.write(bytes(write.size))
            self._written[key] += write.size
        self._ends[key].append((self._written[key], i))
        self._world.touch(end)
        if not self._coalesce:
            end.flush()

    def _stream(self, end: End, channel: str) -> Stream:
        stream = self._streams.get((end.side, channel))
        if stream is None:
            # One of a mix that was played before goes on.
            opened = end.open.streams.streams.get(int(channel)) or end.open.open_stream(True)
            assert opened is not None
            stream = self._streams[end.side, channel] = opened
            self._channels[end.side, stream.id] = channel
        return stream

    def _on_event(self, end: End, event: Event) -> None:
        sender = 1 - end.side
        if isinstance(event, StreamReadable):
            key = (sender, self._channels[sender, event.stream_id])
            stream = end.open.streams.streams[event.stream_id]
            while size := end.open.read_into(stream, self._target):
                self._arrived[key] += size
        elif isinstance(event, MessagesReadable):
            key = (sender, _MESSAGE)
            while end.open.recv_messages.read() is not None:
                self._arrived[key] += 1
        else:
            return
        ends = self._ends[key]
        while ends and ends[0][0] <= self._arrived[key]:
            _, i = ends.pop(0)
            self._left -= 1
            self._release(i)


def play(
    mix: Mix, loss: float = 0.0, coalesce: bool = True, batches: bool = True, eager: bool = False
) -> tuple[Tally, Tally]:
    """What client and server sent for `mix`.

    `loss`: chance to lose a datagram. `coalesce`: see `Player`. `batches`: datagrams that left together arrive
    together. `eager`: each datagram is acknowledged by itself.
    """
    world = World(config(), loss, batches=batches)
    for end in world.ends:
        end.eager = eager
    Player(world, mix, coalesce).play()
    world.run_for(0.2)
    return world.ends[CLIENT].sent, world.ends[1 - CLIENT].sent

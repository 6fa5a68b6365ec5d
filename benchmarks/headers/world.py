"""Two endpoints on virtual time with a link between them: what the simulator of the tests does, without its faults."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial

from benchmarks.headers.tally import Tally
from jsp.config import Config
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import Identity
from jsp.engine.connection import ConnectionCore
from jsp.engine.endpoint import EndpointCore
from jsp.engine.events import PeerPresented
from jsp.engine.traffic import Event, Received
from jsp.wire.buffer import PacketBuffer

_EPOCH = 1e9
# Seconds between datagrams that do not arrive together: those of 1,452 bytes at 1 Gbit/s.
_SPACING = 12e-6
CLIENT, SERVER = 0, 1
ADDRESSES = (("192.0.2.1", 50_000), ("198.51.100.1", 4433))


class End:
    """One side.

    Attributes:
        connection: None on the server until the client has come.
        on_event: hears of events.
        sent: what it has sent since the handshake.
        eager: whether it acknowledges each datagram by itself.
    """

    def __init__(self, world: World, side: int, config: Config, credentials: Credentials | None) -> None:
        self.side = side
        self.core = EndpointCore(config, random.Random(side).randbytes, credentials)
        self.connection: ConnectionCore | None = None
        self.on_event: Callable[[Event], None] = lambda event: None
        self.sent = Tally()
        self.eager = False
        self._world = world
        self._slots = PacketBuffer()
        self._armed = float("inf")

    @property
    def open(self) -> ConnectionCore:
        """The connection, which is there."""
        assert self.connection is not None
        return self.connection

    def receive(self, data: bytes, segment: int) -> None:
        """Datagrams arrive together."""
        now = self._world.now
        self._slots.data[: len(data)] = data
        received = Received(len(data), segment, ADDRESSES[1 - self.side])
        self.core.handle_datagram(now, _EPOCH + now, self._slots, received)
        if self.core.accepted:
            self.connection = self.core.accepted.popleft()
        if self.connection is not None:
            acks = self.connection.paths[0].space.acks
            if self.eager and acks.pending:
                acks.deadline = now
            self._world.touch(self)

    def flush(self) -> None:
        """Hand out events, send, set the timer."""
        connection, world = self.connection, self._world
        if connection is None:
            return
        self._drain(connection)
        while (transmit := connection.poll_transmit(world.now)) is not None:
            world.carry(self, bytes(transmit.data), transmit.segment_size)
            self._drain(connection)
        at = connection.poll_timeout()
        if at < self._armed:
            self._armed = at
            world.schedule(at, self._on_timer)

    def _drain(self, connection: ConnectionCore) -> None:
        while (event := connection.poll_event()) is not None:
            if isinstance(event, PeerPresented):
                connection.accept_peer(self._world.now)
            self.on_event(event)

    def _on_timer(self) -> None:
        self._armed = float("inf")
        self.open.handle_timeout(self._world.now)
        self._world.touch(self)


class World:
    """The clock, the link, and both ends, connected.

    Attributes:
        now: seconds.
        ends: client and server.
    """

    def __init__(
        self, config: Config, loss: float = 0.0, delay: float = 0.01, seed: int = 1, batches: bool = True
    ) -> None:
        """`loss`: chance that a datagram is lost, once the handshake is over; `delay`: seconds one way; `batches`:
        whether datagrams that left together arrive together."""
        self.now = 0.0
        self.loss = 0.0
        self._delay = delay
        self._batches = batches
        self._rng = random.Random(seed)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._touched: dict[End, None] = {}
        identity = Credentials(identity=Identity.from_seed(bytes(32)))
        self.ends = (End(self, CLIENT, config, None), End(self, SERVER, config, identity))
        client = self.ends[CLIENT]
        client.connection = client.core.connect(0.0, _EPOCH, ADDRESSES[SERVER], Credentials())
        self.touch(client)
        self.run_until(lambda: all(end.connection is not None and end.connection.confirmed for end in self.ends))
        self.run_for(1.0)
        self.loss = loss
        for end in self.ends:
            end.sent = Tally()

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        """Let `action` happen at `at`."""
        self._count += 1
        heapq.heappush(self._heap, (max(at, self.now), self._count, action))

    def touch(self, end: End) -> None:
        """`end` sends what it has at the end of this turn."""
        self._touched[end] = None

    def run_until(self, done: Callable[[], bool]) -> None:
        """Go on until `done()`. All that happens at one time is one turn, and sends at its end."""
        while True:
            touched, self._touched = self._touched, {}
            for end in touched:
                end.flush()
            if done():
                return
            self.now = self._heap[0][0]
            while self._heap and self._heap[0][0] == self.now:
                heapq.heappop(self._heap)[2]()

    def run_for(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end = self.now + seconds
        self.schedule(end, lambda: None)
        self.run_until(lambda: self.now >= end)

    def carry(self, sender: End, data: bytes, segment: int) -> None:
        """Take datagrams of `sender`, lose some, and let the others arrive."""
        receiver = self.ends[1 - sender.side]
        if receiver.connection is not None:
            sender.sent.add(data, segment, sender.open, receiver.connection)
        pieces = [data[i : i + segment] for i in range(0, len(data), segment)]
        kept = [piece for piece in pieces if self._rng.random() >= self.loss]
        batches = [b"".join(kept)] if self._batches and kept else kept
        for i, batch in enumerate(batches):
            arrive = partial(receiver.receive, batch, min(segment, len(batch)))
            self.schedule(self.now + self._delay + i * _SPACING, arrive)

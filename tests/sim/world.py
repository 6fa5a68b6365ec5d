"""Virtual time, and nodes that drive real endpoints on it.

`World.run_until` takes the next thing that happens, lets it happen, and jumps to the one after. Every step ends
with the invariants: credit and windows respected, ledgers that add up, no timer forgotten while work remains.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from jsp.config import Config
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import Identity
from jsp.engine.connection import ConnectionCore
from jsp.engine.endpoint import EndpointCore
from jsp.engine.events import PeerPresented
from jsp.engine.states import State
from jsp.engine.traffic import Event, Received, Transmit
from jsp.errors import Code
from jsp.wire.buffer import PacketBuffer
from tests.sim.link import Link, LinkSpec

Address = tuple[str, int]
SERVER: Address = ("198.51.100.1", 4433)
CLIENT: Address = ("192.0.2.1", 50000)
SERVER_SEED = bytes(range(32))
CLIENT_SEED = bytes(range(32, 64))


class Stuck(AssertionError):
    """Nothing will ever happen again, and the test waits."""


class World:
    """The clock, what is going to happen, and one source of chance."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.now = 0.0
        self.random = random.Random(seed)
        self.nodes: dict[Address, Node] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        """Let `action` happen at time `at`."""
        self._count += 1
        heapq.heappush(self._heap, (max(at, self.now), self._count, action))

    def step(self) -> bool:
        """Let the next thing happen; False when there is none."""
        if not self._heap:
            return False
        self.now, _, action = heapq.heappop(self._heap)
        action()
        return True

    def run_until(self, condition: Callable[[], bool], limit: float = 600.0) -> None:
        """Go on until `condition` holds; Stuck when it cannot any more, AssertionError past `limit` seconds."""
        end = self.now + limit
        while not condition():
            if not self.step():
                raise Stuck(f"seed {self.seed}: nothing left to happen at {self.now:.3f} s")
            assert self.now <= end, f"seed {self.seed}: not done after {limit} s of virtual time"

    def run_for(self, seconds: float) -> None:
        """Let `seconds` pass."""
        done: list[bool] = []
        self.schedule(self.now + seconds, lambda: done.append(True))
        self.run_until(lambda: bool(done), seconds + 1)

    def link(self, spec: LinkSpec) -> Link:
        return Link(spec, random.Random(self.random.getrandbits(64)), self.schedule)


class Node:
    """A host with one endpoint. `handlers` get (connection, event); `alias` is where packets seem to come from."""

    def __init__(
        self,
        world: World,
        address: Address,
        config: Config | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.world = world
        self.address = self.alias = address
        self.received: list[tuple[ConnectionCore, Event]] = []
        self.handler: Callable[[ConnectionCore, Event], None] | None = None
        self.accept: Callable[[PeerPresented], bool] = lambda presented: True
        # Links by where they lead, and by the further addresses of this host from which they lead anywhere.
        self.links: dict[Address, Link] = {}
        self.homes: dict[Address, Link] = {}
        self.default_link: Link | None = None
        rng = random.Random(world.random.getrandbits(64))
        self.core = EndpointCore(config or Config(), rng.randbytes, credentials)
        self.accepted: list[ConnectionCore] = []
        self.touched: Callable[[], None] | None = None
        self._slots = PacketBuffer()
        self._owned: set[ConnectionCore] = set()
        self._armed: dict[ConnectionCore, float] = {}
        self._overdue = 0
        # The ECN field of what is being sent.
        self._ecn = 0
        # Larger datagrams do not leave this host, which it knows.
        self.interface = 65_507
        world.nodes[address] = self

    # --- network -------------------------------------------------------------------------------------------

    def rebind(self, alias: Address) -> None:
        """A NAT gives this node another address: packets come from there, and only there they reach it."""
        self.world.nodes.pop(self.alias, None)
        self.alias = alias
        self.world.nodes[alias] = self

    def add_home(self, address: Address, link: Link) -> None:
        """Another address, on another network: what leaves from there takes `link`."""
        self.homes[address] = link
        self.world.nodes[address] = self

    def drop_home(self, address: Address) -> None:
        """It is gone: nothing leaves from there any more, and nothing arrives."""
        del self.homes[address]
        self.world.nodes.pop(address, None)

    def _send(self, data: bytes, remote: Address, local: Address | None = None) -> None:
        link = self.homes.get(local) if local else self.links.get(remote) or self.default_link
        if link is None:
            return  # from an address that is gone
        source = local or self.alias
        seen = link.mark(self.world.now, self._ecn)

        def arrive(payload: bytes) -> None:
            node = self.world.nodes.get(remote)
            if node is not None:
                node.receive(payload, source, ecn=seen, local=remote if remote in node.homes else None)

        if seen >= 0:
            link.send(self.world.now, data, arrive)
        if len(data) > link.spec.mtu and link.spec.icmp:
            most = link.spec.mtu
            self.world.schedule(self.world.now + link.spec.delay, lambda: self._hint(remote, most))

    def _hint(self, remote: Address, most: int) -> None:
        for connection in list(self._owned):
            if connection.on_mtu_hint(remote, most):
                self.flush(connection)

    def receive(
        self, data: bytes, source: Address, segment: int = 0, ecn: int = 0, local: Address | None = None
    ) -> None:
        """A datagram arrives, or a batch of them that are `segment` bytes long (the last one maybe shorter)."""
        if not data:
            return
        self._slots.data[: len(data)] = data
        received = Received(len(data), segment or len(data), source, local, ecn)
        now = self.world.now
        touched = self.core.handle_datagram(now, 1e9 + now, self._slots, received)
        while self.core.accepted:
            self.accepted.append(self.core.accepted.popleft())
            self._owned.add(self.accepted[-1])
        for connection in touched:
            self.flush(connection)
        while (reply := self.core.poll_transmit()) is not None:
            self._send(bytes(reply.data), reply.remote)
        assert self.core.connections <= self._owned, "a connection whose timers nobody sets"

    # --- connections ---------------------------------------------------------------------------------------

    def connect(self, remote: Address = SERVER, credentials: Credentials | None = None) -> ConnectionCore:
        now = self.world.now
        connection = self.core.connect(now, 1e9 + now, remote, credentials or Credentials())
        self._owned.add(connection)
        self.flush(connection)
        return connection

    def flush(self, connection: ConnectionCore) -> None:
        """Hand events out, send what may be sent, arm the timer, check the invariants.

        As in `jsp.net`, only what was connected or accepted has an owner, and with it events and a timer.
        """
        now = self.world.now
        owned = connection in self._owned
        for _ in range(1000):
            if owned:
                self._drain(connection, now)
            if not self._transmit(connection, now) and not (owned and connection.events):
                break
        check_invariants(connection)
        if self.core.forget_if_over(connection):
            self._armed.pop(connection, None)
            self._owned.discard(connection)
            return
        if owned:
            self._arm(connection)

    def _drain(self, connection: ConnectionCore, now: float) -> None:
        while (event := connection.poll_event()) is not None:
            self.received.append((connection, event))
            if isinstance(event, PeerPresented):
                if self.accept(event):
                    connection.accept_peer(now)
                else:
                    connection.close_now(now, 0x2D, "go away")
            if self.handler is not None:
                self.handler(connection, event)

    def _transmit(self, connection: ConnectionCore, now: float) -> bool:
        sent = False
        while connection.asleep is None:
            before = {p.id: (p.recovery.in_flight, p.space.probes) for p in connection.paths.values()}
            sizes = {
                (p.remote, p.local): (p.mtu, p.search.due if p.search is not None else 0)
                for p in connection.paths.values()
            }
            transmit = connection.poll_transmit(now)
            if transmit is None:
                return sent
            sent = True
            check_window(connection, before)
            data = bytes(transmit.data)
            assert len(data) <= 65_507
            check_size(transmit, sizes)
            if transmit.segment_size > self.interface:
                connection.on_too_large(transmit, self.interface + 1)
                continue
            self._ecn = transmit.ecn
            for i in range(0, len(data), transmit.segment_size):
                self._send(data[i : i + transmit.segment_size], transmit.remote, transmit.local)
            self._ecn = 0
        assert connection.poll_transmit(now) is None, "sends in its sleep"
        return sent

    def _arm(self, connection: ConnectionCore) -> None:
        at = connection.poll_timeout()
        armed = self._armed.get(connection)
        if at == float("inf") or (armed is not None and armed <= at):
            return
        # A deadline may have passed while the connection was not allowed to send; it must not stay in the past.
        self._overdue = self._overdue + 1 if at <= self.world.now else 0
        assert self._overdue < 100, f"a deadline that stays in the past: {connection.timers.deadlines}"
        self._armed[connection] = at
        self.world.schedule(at, lambda: self._on_timer(connection, at))

    def _on_timer(self, connection: ConnectionCore, at: float) -> None:
        if self._armed.get(connection) != at:
            return
        del self._armed[connection]
        connection.handle_timeout(self.world.now)
        self.flush(connection)

    def events(self, kind: type[Any]) -> list[Any]:
        """The events of one kind, so far."""
        return [event for _, event in self.received if isinstance(event, kind)]


def check_size(transmit: Transmit, sizes: dict[tuple[Any, ...], tuple[int, int]]) -> None:
    """Nothing is larger than what is known to pass, but for a probe by itself. `sizes`: of both, by addresses."""
    mtu, due = sizes.get((transmit.remote, transmit.local), (1200, 0))
    alone = len(transmit.data) <= transmit.segment_size
    assert transmit.segment_size <= mtu or (alone and len(transmit.data) == due), "a datagram that may not pass"


def check_window(connection: ConnectionCore, before: dict[int, tuple[int, int]]) -> None:
    """Nothing leaves beyond the congestion window but probes."""
    for path in connection.paths.values():
        in_flight, probes = before[path.id]
        now = path.recovery.in_flight
        if now > in_flight and connection.confirmed:
            limit = max(path.recovery.controller.window, in_flight if probes else 0) + probes * path.mtu
            assert now <= limit, f"{now} bytes in flight, {limit} allowed"


def check_invariants(connection: ConnectionCore) -> None:
    """What must hold after every step (docs/spec.md section 14)."""
    closed = connection.lifecycle.closed
    assert closed is None or closed.by_peer or closed.application or closed.code != Code.INTERNAL, "a bug; see the log"
    if connection.is_closed() or connection.asleep is not None:
        return
    assert 0 <= connection.credit.used <= connection.credit.limit or not connection.confirmed
    if connection.scheduler.credit_blocked:
        assert connection.credit.blocked_at >= 0 or connection.has_frames(), "blocked, and the peer was not told"
    for stream in connection.streams.streams.values():
        if stream.send is not None:
            assert stream.send.credit.used <= stream.send.credit.limit
            assert stream.send.buffer.base <= stream.send.buffer.end + 1
        if stream.recv is not None:
            assert stream.recv.window.received <= stream.recv.window.limit
    assert connection.window.received <= connection.window.limit
    assert connection.window.held() <= connection.config.receive_window
    messages = connection.recv_messages
    assert connection.window.kept == messages._partial_bytes + messages._best_effort_bytes
    for path in connection.paths.values():
        total = 0
        for space in path.recovery.spaces:
            in_space = sum(run.total for run in space.sent.runs)
            assert in_space == space.in_flight, "the ledger does not add up"
            numbers = [run.first for run in space.sent.runs]
            assert numbers == sorted(numbers)
            total += in_space
        assert total == path.recovery.in_flight
        if total and connection.lifecycle.state is State.OPEN and connection.confirmed and path.validated:
            assert connection.poll_timeout() != float("inf"), "packets in flight and no timer"


def pair(
    world: World,
    up: LinkSpec | None = None,
    down: LinkSpec | None = None,
    client_config: Config | None = None,
    server_config: Config | None = None,
    server_credentials: Credentials | None = None,
) -> tuple[Node, Node]:
    """A client and a server with one link each way (`down`: the same as `up` unless given)."""
    identity = Identity.from_seed(SERVER_SEED)
    client = Node(world, CLIENT, client_config)
    server = Node(world, SERVER, server_config, server_credentials or Credentials(identity=identity))
    up = up or LinkSpec()
    client.default_link = world.link(up)
    server.default_link = world.link(down or up)
    return client, server


def connected(
    world: World, up: LinkSpec | None = None, down: LinkSpec | None = None, **configs: Any
) -> tuple[Node, Node, ConnectionCore, ConnectionCore]:
    """A pair with one open connection: client node, server node, and both its ends."""
    client, server = pair(world, up, down, **configs)
    c = client.connect()
    return client, server, c, confirmed_peer(world, c, server)


def confirmed_peer(world: World, c: ConnectionCore, server: Node) -> ConnectionCore:
    """Let the handshake of `c` finish; the server's end of it."""

    def find() -> ConnectionCore | None:
        wanted = c.paths[0].remote_cids.current
        return next((s for s in server.accepted if s.confirmed and s.scid == wanted), None)

    world.run_until(lambda: c.confirmed and find() is not None)
    found = find()
    assert found is not None
    return found

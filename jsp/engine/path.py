# cython: language_level=3, annotation_typing=False, nonecheck=True
"""One path: everything that belongs to a way of reaching the peer (spec section 4).

Addresses, connection ids, packet number space, recovery state, datagram size, and whether the peer has proven
that it is there. A connection has a table of paths, with path 0 in it from the first packet on; `mobility` adds others.

A rebinding (the same connection id from another address) stays on its path: packets follow the peer at once,
but no more than three times what comes from there until it answers a challenge. The old address is challenged as
well; if the peer answers from there, somebody had merely forwarded its packets, and the path goes back.
"""

from __future__ import annotations

from collections.abc import Callable

from jsp.engine.ack_frequency import BULK_PACKETS, AckFrequency
from jsp.engine.bucket import TokenBucket
from jsp.engine.cids import LocalCids, RemoteCids
from jsp.engine.mtu_search import BASE, MtuSearch, header_bytes
from jsp.engine.timers import NEVER
from jsp.engine.traffic import UDP, Endpoint, carrier_of
from jsp.recovery.carried import CARRIED_DATAGRAM, Carried
from jsp.recovery.congestion import make_controller
from jsp.recovery.controller import Controller
from jsp.recovery.destinations import RTT_MIN_S, Destinations
from jsp.recovery.loss import LossDetector, PacketSpace

AMPLIFICATION = 3  # RFC 9000 section 8.1
_CHALLENGE_TRIES = 3
# Of a path that is new the round trip is not known: it is asked more often, and each time waited for twice as long.
_OPENING_TRIES = 5
_RESPONSES_PER_S = 10.0
_RESPONSES_MAX = 2
_UNLIMITED = 1 << 62
_BULK_PACKETS = BULK_PACKETS
_BASE = BASE
# A datagram may be as large as this part of the window: with fewer under way, a lost one would be noticed by time only.
_WINDOW_DATAGRAMS = 4
# Signs that a path takes no large datagrams any more (spec section 4.9). A false alarm costs two round trips at `BASE`.
_LARGE_LOST_MAX = 3
_TIMEOUTS_MAX = 2


class Challenge:
    """A PATH_CHALLENGE under way to `address`, from `local`."""

    __slots__ = ("address", "data", "due", "local", "tries")

    def __init__(self, address: Endpoint, local: Endpoint | None, data: bytes, due: bool) -> None:
        self.address = address
        self.local = local
        self.data = data
        self.tries = 0
        self.due = due


class Path:
    """A way to the peer.

    Attributes:
        id: path number; part of every nonce.
        remote, local: addresses.
        reliable: whether what carries it delivers everything in order (TCP).
        source: the host that packets leave from when `local` does not say it.
        validated: whether the peer has shown that it receives at `remote`.
        received, sent: bytes since `remote` is not validated.
        mtu: bytes of the largest datagram we send, but for probes.
        mtu_limit: the most that may be tried; 0: `mtu` is fixed.
        udp_mtu: what it is fixed to over UDP.
        search: what is being tried; None before there was much to send.
        peer_datagram_max: bytes of the largest that the peer takes.
        recovery, space: loss recovery and the 1-RTT packet numbers.
        challenges: what is being validated: `remote`, and the address before it.
        responses: of the newest PATH_CHALLENGEs to answer: data, where each came from, and to, with how many bytes.
        arriving_at, arriving, arriving_to: where in its buffer the batch begins whose packets are being taken, how long
            it is, and to which address of ours it came.
        fallback: the last validated address while `remote` is not.
        key_phase_start: number of the first packet sent under the present keys.
        ack_frequency: how the peer was asked to acknowledge; None while it never was.
        peer_min_ack_delay: seconds it lets itself be asked to hold an ACK back at least; 0: it takes no such wishes.
        opened: whether we opened it, to an address that we know of: more may be sent there than was received.
        was_validated: whether the peer has ever answered a challenge here.
        replaces: whether the others are abandoned when this one is validated.
        closing: whether it was abandoned, and is kept for late packets only.
        left: whether the peer has abandoned it, too.
        due: when a challenge is repeated, or a path that is closing removed.
        backup, peer_backup: whether we, or the peer, want it used only when there is no other.
        status_seen: sequence number of the last PATH_STATUS for it.
        weight, carried: its share of what several paths carry, and the bytes it has had lately (`path_choice`).
    """

    __slots__ = (
        "_congestion", "_fallback_asked", "_fallback_local", "_response_rate", "ack_frequency", "arriving",
        "arriving_at", "arriving_to", "backup", "carried", "challenges", "closing", "due", "fallback", "id",
        "key_phase_start", "left", "local", "local_cids", "mtu", "mtu_limit", "opened", "peer_backup",
        "peer_datagram_max", "peer_min_ack_delay", "received", "recovery", "reliable", "remote", "remote_cids",
        "replaces", "responses", "search", "sent", "source", "space", "status_seen", "udp_mtu", "validated",
        "was_validated", "weight",
    )  # fmt: skip

    def __init__(
        self,
        path_id: int,
        remote: Endpoint,
        local: Endpoint | None,
        mtu: int,
        congestion: str | Callable[[int], Controller],
        max_ack_delay: float,
    ) -> None:
        self.id = path_id
        self.remote = remote
        self.local = local
        self.reliable = False
        self.mtu = mtu
        self.mtu_limit = 0
        self.udp_mtu = self.peer_datagram_max = mtu
        self.search: MtuSearch | None = None
        self.source = ""
        self.validated = False
        self.received = 0
        self.sent = 0
        self.space = PacketSpace(max_ack_delay, handshake=False)
        self._congestion = congestion
        self.recovery = LossDetector(make_controller(congestion, mtu))
        self.recovery.spaces.append(self.space)
        self.challenges: list[Challenge] = []
        self.responses: list[tuple[bytes, Endpoint, Endpoint | None, int]] = []
        self.arriving = 0
        self.arriving_at = 0
        self.arriving_to: Endpoint | None = None
        self._response_rate: TokenBucket | None = None
        self.fallback: Endpoint | None = None
        self._fallback_local: Endpoint | None = None
        self._fallback_asked = float("-inf")
        self.key_phase_start = 0
        self.ack_frequency: AckFrequency | None = None
        self.peer_min_ack_delay = 0.0
        self.opened = self.was_validated = self.replaces = self.closing = False
        self.left = False
        self.due = NEVER
        self.backup = self.peer_backup = False
        self.status_seen = -1
        self.weight = 1.0
        self.carried = 0.0
        self.local_cids: LocalCids
        self.remote_cids: RemoteCids
        self.place(remote, local)

    def recall(self, destinations: Destinations, source: str, now: float) -> None:
        """Begin with what an earlier connection learnt. `source`: the host that packets leave from; "": any."""
        self.source = source
        if self.reliable:
            return
        destinations.recall(self._route(), self.recovery, now)

    def learn(self, destinations: Destinations, now: float) -> None:
        """The connection ends: leave what was learnt to later ones."""
        if self.validated and not self.reliable:
            destinations.learn(self._route(), self.recovery, now)

    def _route(self) -> tuple[object, object]:
        return (self.local[0] if self.local else self.source), self.remote[0]

    def probe_timeout(self) -> float:
        """How long an answer may take, seconds."""
        return self.recovery.rtt.probe_timeout(self.recovery.peer_max_ack_delay)

    def amplification_left(self) -> int:
        """Bytes that may be sent before more must come from the peer."""
        # Who completes a TCP handshake is where it says it is.
        if self.validated or self.opened or self.reliable:
            return _UNLIMITED
        return max(0, AMPLIFICATION * self.received - self.sent)

    def response_limit(self, address: Endpoint, size: int) -> int:
        """Bytes of the answer to a PATH_CHALLENGE that came from `address` in `size` bytes."""
        if address == self.remote:
            return self.amplification_left()
        # SPEC 4.5: whoever wrote another address there does not decide how much it gets.
        return _UNLIMITED if address == self.fallback else AMPLIFICATION * size

    # --- datagram size (spec section 4.9) ------------------------------------------------------------------

    def set_mtu(self, mtu: int) -> None:
        """Datagrams of up to `mtu` bytes from now on."""
        self.mtu = mtu
        self.recovery.on_datagram_size(mtu)

    def datagram_size(self) -> int:
        """Bytes of the datagrams to send now: what must get through, or goes to who knows whom, has the base size."""
        return self.mtu if self.validated and not self.space.probes else min(self.mtu, _BASE)

    def plan_probe(self, now: float) -> None:
        """Data left: see whether larger datagrams should be tried."""
        if not self.mtu_limit or self.reliable or not self.validated or self.recovery.pto_count:
            return
        if self.search is None:
            self.search = MtuSearch(self.mtu_limit, header_bytes(self.remote))
        self.search.plan(self.recovery.controller.window // _WINDOW_DATAGRAMS, now)

    def on_acked(self, number: int, lost: int) -> None:
        """The probe that is packet `number` arrived. `lost`: packets lost before it left."""
        if self.search is not None and self.search.on_acked(number):
            self.set_mtu(self.search.passed)

    def on_lost(self, number: int, lost: int) -> None:
        """It did not."""
        if self.search is not None:
            self.search.on_lost(number, self.recovery.packets_lost == lost)

    def leave_black_hole(self) -> None:
        """Fall back to the base size when nothing larger seems to arrive (RFC 8899 section 4.3)."""
        recovery = self.recovery
        if recovery.large_lost >= _LARGE_LOST_MAX or recovery.pto_count >= _TIMEOUTS_MAX:
            self._restart_search()

    def _restart_search(self) -> None:
        if self.search is not None and self.mtu > _BASE:
            self.search.fall()
            self.set_mtu(_BASE)

    def on_hint(self, size: int) -> bool:
        """ICMP says that `size` bytes are the most that pass; whether that is to be tried at once."""
        if self.search is None:
            return False
        self.search.on_hint(size)
        return self.search.due > 0

    def on_too_large(self, size: int) -> None:
        """Our host does not let datagrams of `size` bytes out."""
        if self.search is not None:
            self.search.on_too_large(size)
            if size <= self.mtu:
                self._restart_search()

    def skip_number(self, datagram: int, entropy: Callable[[int], bytes]) -> None:
        """Now and then leave a packet number out: who acknowledges it has not received what it acknowledges."""
        space = self.space
        if space.next_number >= space.skip_at:
            space.skip_number(self.recovery.controller.window // datagram, int.from_bytes(entropy(4), "big"))

    # --- acknowledgements ----------------------------------------------------------------------------------

    def plan_acks(self) -> None:
        """Before data leaves: see whether the peer should be asked for more or fewer ACKs."""
        if self.reliable:
            return
        if self.ack_frequency is None:
            if self.peer_min_ack_delay == 0 or self.recovery.controller.window < _BULK_PACKETS * self.mtu:
                return
            self.ack_frequency = AckFrequency(self.recovery, self.peer_min_ack_delay)
        self.ack_frequency.update(self.mtu)

    # --- addresses -----------------------------------------------------------------------------------------

    def place(self, remote: Endpoint, local: Endpoint | None) -> None:
        """Between these addresses from now on, and by what carries datagrams there."""
        self.remote, self.local = remote, local
        self.recovery.held = False
        reliable = carrier_of(local) != UDP
        if reliable != self.reliable:
            self.reliable = self.recovery.reliable = reliable
            self._restart_recovery()

    def _move(self, remote: Endpoint, local: Endpoint | None) -> None:
        """`place`, with packets under way."""
        carried = self.reliable
        self.place(remote, local)
        if self.reliable != carried:
            # Neither the window nor the timers of the one fit what is under way by the other.
            self.recovery.give_up()

    def fit(self) -> None:
        """Begin with datagrams that surely pass."""
        self.search = None
        if self.reliable:
            self.set_mtu(min(CARRIED_DATAGRAM, self.peer_datagram_max))
        else:
            self.set_mtu(_BASE if self.mtu_limit else self.udp_mtu)

    # --- opening and abandoning --------------------------------------------------------------------------------

    def follow(self, other: Path) -> None:
        """What is known of the peer by `other` holds here, and its round trip is the best guess."""
        recovery = self.recovery
        recovery.handshake_done = True
        asked = other.ack_frequency
        recovery.peer_max_ack_delay = asked.longest if asked is not None else other.recovery.peer_max_ack_delay
        recovery.rtt.reset(max(other.recovery.rtt.smoothed, RTT_MIN_S))
        self.peer_min_ack_delay = other.peer_min_ack_delay
        self.mtu_limit = other.mtu_limit
        self.udp_mtu = other.udp_mtu
        self.peer_datagram_max = other.peer_datagram_max
        self.fit()

    def reopen(self, remote: Endpoint, local: Endpoint | None) -> None:
        """Ours, between these addresses; what may have been tried before is forgotten."""
        self.recovery.give_up()
        self.recovery.pto_count = 0
        self.place(remote, local)
        self.opened = True
        self.validated = False
        self.due = NEVER

    def challenge(self, data: bytes) -> None:
        """Ask whether the peer is at `remote`, with 8 random bytes."""
        self.challenges = [Challenge(self.remote, self.local, data, True)]

    def ask_at(self, remote: Endpoint, local: Endpoint | None, data: bytes) -> None:
        """Ask there, too, with 8 random bytes: where the peer answers first is where the path goes."""
        self.challenges.append(Challenge(remote, local, data, True))

    def close(self, until: float) -> None:
        """Nothing more is sent; late packets are taken for a while."""
        self.closing = True
        self.validated = False
        self.challenges.clear()
        self.responses.clear()
        self.fallback = None
        self.due = until
        self.space.acks.deadline = NEVER
        self.recovery.give_up()

    def on_heard_again(self) -> None:
        """The peer, who does not answer, has said something: ask soon, and not when backing off is over. It may still
        be silent, since one direction may work by itself."""
        self.recovery.pto_count = min(self.recovery.pto_count, 1)

    # --- rebinding -----------------------------------------------------------------------------------------

    def rebind(self, remote: Endpoint, local: Endpoint | None, size: int, fresh: bytes, now: float) -> None:
        """The peer's newest packet, of `size` bytes, came from `remote`. `fresh`: 16 random bytes."""
        old = self.remote
        if self.validated:
            self.fallback, self._fallback_local = old, self.local
        self._move(remote, local)
        if remote == self.fallback:
            # Back where it was proven to be.
            self._on_validated()
            return
        self.validated = self.opened = False
        self.received = size
        self.sent = 0
        # SPEC 4.5: what the old address was asked stays asked, and is asked again after a probe timeout only, however
        # often the peer seems to move: whoever is there now may be a stranger.
        again = now >= self._fallback_asked + self.probe_timeout()
        kept = self.challenges[1:]
        self.challenges = [Challenge(remote, local, fresh[:8], True)]
        if self.fallback is not None:
            self.challenges += kept or [Challenge(self.fallback, self._fallback_local, fresh[8:], False)]
            self.challenges[1].due |= again
        # Whatever went unanswered, went to the old address.
        self.recovery.pto_count = 0
        if old[0] != remote[0]:
            # SPEC 4.5: another host part may be another network; another port alone is a NAT's new mapping. What is
            # under way says nothing of the new one (RFC 9000 9.4), and is offered again: its probe timeout is long.
            self._restart_recovery()
            self.recovery.give_up()

    def _restart_recovery(self) -> None:
        self.fit()
        self.recovery.restart(Carried(self.mtu) if self.reliable else make_controller(self._congestion, self.mtu))

    def on_arriving(self, start: int, end: int, local: Endpoint | None) -> None:
        """Packets in `start` to `end` of their buffer are being taken."""
        self.arriving_at = start
        self.arriving = end - start
        self.arriving_to = local

    def on_challenge(self, data: bytes, source: Endpoint, now: float) -> None:
        """PATH_CHALLENGE arrived from `source`. Those above the rate are not answered."""
        if self._response_rate is None:
            self._response_rate = TokenBucket(_RESPONSES_PER_S, _RESPONSES_PER_S)
        if self.closing or not self._response_rate.take(now):
            return
        # SPEC 4.5: only the newest ones, so a flood of them makes no queue; after a rebinding both addresses are asked.
        self.responses.append((data, source, self.arriving_to, self.arriving))
        if len(self.responses) > _RESPONSES_MAX:
            del self.responses[0]

    def on_challenge_sent(self, challenge: Challenge, now: float) -> None:
        """`challenge` is on its way."""
        challenge.due = False
        challenge.tries += 1
        wait = self.probe_timeout()
        # What was never validated is asked with growing patience; where the peer was before, the round trip is known.
        self.due = now + (wait * (1 << (challenge.tries - 1)) if self._is_new() else wait)
        if challenge.address == self.fallback:
            self._fallback_asked = now

    def on_response(self, data: bytes, source: Endpoint) -> bool:
        """PATH_RESPONSE arrived from `source`. Returns whether the path's address is now validated."""
        for challenge in self.challenges:
            if challenge.data != data:
                continue
            # SPEC 4.5: the peer itself still answers from the old address; or there, of several where we asked.
            if self.opened or challenge.address == self.fallback == source:
                if (challenge.address, challenge.local) != (self.remote, self.local):
                    self._move(challenge.address, challenge.local)
            elif challenge.address != self.remote:
                continue
            self._on_validated()
            return True
        return False

    def _on_validated(self) -> None:
        self.validated = True
        self.fallback = None
        self.challenges.clear()
        self.due = NEVER

    def _is_new(self) -> bool:
        return self.fallback is None and self.id != 0

    def on_challenge_timeout(self) -> bool:
        """Ask again, or give up. Returns False when the path has no address left to go back to."""
        for challenge in self.challenges:
            challenge.due = True
        tries = _OPENING_TRIES if self._is_new() else _CHALLENGE_TRIES
        if not self.challenges or self.challenges[0].tries < tries:
            return True
        self.challenges.clear()
        if self.fallback is None:
            return False
        self._move(self.fallback, self._fallback_local)
        self._on_validated()
        return True

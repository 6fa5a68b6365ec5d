# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The 1-RTT keys of a connection and their renewal (spec section 7.5; RFC 9001 section 6)."""

from __future__ import annotations

from jsp.crypto.protection import OpenKeys, SealKeys
from jsp.crypto.suites import SEAL_BYTES_LIMIT
from jsp.engine.bucket import TokenBucket
from jsp.engine.path import Path
from jsp.engine.timers import NEVER
from jsp.errors import Code, ProtocolViolation

# However little is sent: whoever steals the keys of today has an hour of the connection, not all of it.
_LIFETIME_S = 3600.0
# Nobody may start two updates within three probe timeouts, and the shortest there is takes 2 ms. But the peer counts
# from when it heard of the last one, and a loss may keep us from hearing of that: two can come here at once. So a few
# may come at any time, and the rate only keeps a peer from having us derive keys all day.
_BETWEEN_UPDATES_S = 0.006
_UPDATES_AT_ONCE = 8.0


class KeyPhases:
    """Attributes:
    seal, open: the keys of each direction; None before the handshake is over.
    updates: how often our sending keys were renewed.
    renew_at: when they have been in use for long enough.
    noted: when the owner last took note that they are in use, so that it lets them rest some day.
    """

    __slots__ = ("_peer_rate", "noted", "open", "renew_at", "seal", "updates")

    def __init__(self) -> None:
        self.seal: SealKeys | None = None
        self.open: OpenKeys | None = None
        self.updates = 0
        self.noted = -NEVER
        self.renew_at = NEVER
        self._peer_rate: TokenBucket | None = None

    def install(self, open_: OpenKeys | None, seal: SealKeys | None, now: float) -> None:
        """The handshake is over: its last keys."""
        self.open, self.seal = open_, seal
        self.renew_at = now + _LIFETIME_S

    def renew_if_due(self, paths: dict[int, Path], settled: bool, now: float) -> None:
        """Before sealing: renew what must not be used for longer.

        `settled`: the handshake is confirmed, and the keys before the last update are forgotten.
        """
        seal, open_ = self.seal, self.open
        assert seal is not None
        if seal.sealed < seal.update_at and seal.sealed_bytes < SEAL_BYTES_LIMIT and now < self.renew_at:
            return
        # SPEC 7.5: only when the peer has acknowledged the present phase, and follows it.
        if settled and open_ is not None and seal.phase == open_.phase:
            for path in paths.values():
                if path.space.largest_acked >= path.key_phase_start:
                    self._renew(paths, now)
                    # The peer will follow, whenever it last heard from us.
                    open_.update_allowed = True
                    break
        if seal.exhausted():
            raise ProtocolViolation(Code.AEAD_LIMIT, "the keys are used up and the peer does not renew them")

    def _renew(self, paths: dict[int, Path], now: float) -> None:
        assert self.seal is not None
        self.seal.update()
        self.updates += 1
        self.renew_at = now + _LIFETIME_S
        for path in paths.values():
            path.key_phase_start = path.space.next_number

    def on_peer_update(self, paths: dict[int, Path], now: float) -> None:
        """The peer sends under the next keys; so do we from now on."""
        assert self.seal is not None
        assert self.open is not None
        self.open.updated = False
        if self.seal.phase != self.open.phase:
            if self._peer_rate is None:
                self._peer_rate = TokenBucket(1 / _BETWEEN_UPDATES_S, _UPDATES_AT_ONCE)
            if not self._peer_rate.take(now):
                raise ProtocolViolation(Code.KEY_UPDATE, "key updates too soon one after the other")
            self._renew(paths, now)

    def on_ack_sent(self, path_id: int, largest: int) -> None:
        """SPEC 7.5: who has an acknowledgement of the present phase may go on to the next."""
        open_ = self.open
        if open_ is not None and not open_.update_allowed:
            starts = open_.phase_start
            if not starts or largest >= starts.get(path_id, NEVER):
                open_.update_allowed = True

    def rest(self) -> None:
        """Nothing was sent or received for a while: keep the keys, and let go of the ciphers made of them."""
        self.noted = -NEVER
        if self.seal is not None:
            self.seal.rest()
        if self.open is not None:
            self.open.rest()

    def drop_previous(self) -> None:
        """Packets under the keys before have had their time."""
        if self.open is not None:
            self.open.drop_previous()

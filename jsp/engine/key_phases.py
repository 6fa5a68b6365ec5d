# cython: language_level=3, annotation_typing=False
"""The 1-RTT keys of a connection and their renewal (spec section 7.5; RFC 9001 section 6)."""

from __future__ import annotations

from collections.abc import Iterable

from jsp.crypto.protection import OpenKeys, SealKeys
from jsp.engine.path import Path
from jsp.errors import Code, ProtocolViolation


class KeyPhases:
    """Attributes:
    seal, open: the keys of each direction; None before the handshake is over.
    updates: how often our sending keys were renewed.
    """

    __slots__ = ("open", "seal", "updates")

    def __init__(self) -> None:
        self.seal: SealKeys | None = None
        self.open: OpenKeys | None = None
        self.updates = 0

    def renew_if_due(self, paths: Iterable[Path], settled: bool) -> None:
        """Before sealing: renew what must not be used for longer.

        `settled`: the handshake is confirmed, and the keys before the last update are forgotten.
        """
        seal, open_ = self.seal, self.open
        assert seal is not None
        if seal.sealed < seal.update_at:
            return
        # SPEC 7.5: only when the peer has acknowledged the present phase, and follows it.
        if settled and open_ is not None and seal.phase == open_.phase:
            if any(p.space.largest_acked >= p.key_phase_start for p in paths):
                self._renew(paths)
        if seal.exhausted():
            raise ProtocolViolation(Code.AEAD_LIMIT, "the keys are used up and the peer does not renew them")

    def _renew(self, paths: Iterable[Path]) -> None:
        assert self.seal is not None
        self.seal.update()
        self.updates += 1
        if self.open is not None:
            # The peer will follow, whenever it last heard from us.
            self.open.update_allowed = True
        for path in paths:
            path.key_phase_start = path.space.next_number

    def on_peer_update(self, paths: Iterable[Path]) -> None:
        """The peer sends under the next keys; so do we from now on."""
        assert self.seal is not None
        assert self.open is not None
        self.open.updated = False
        if self.seal.phase != self.open.phase:
            self._renew(paths)

    def on_ack_sent(self) -> None:
        """SPEC 7.5: who has an acknowledgement under the present keys may go on to the next."""
        if self.open is not None:
            self.open.update_allowed = True

    def drop_previous(self) -> None:
        """Packets under the keys before have had their time."""
        if self.open is not None:
            self.open.drop_previous()

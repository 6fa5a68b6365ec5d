# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Connection ids of one path: those we gave out, and those the peer gave us (spec section 4.3; RFC 9000 section 5.1).

Ids never repeat. The issuer learns of a retirement by RETIRE_CID and gives out a fresh one; the user of an id
retires the old one when it changes to a new one, or when it is told to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsp.config import LIMITS
from jsp.engine.builder import Train
from jsp.errors import Code, ProtocolViolation
from jsp.wire import frames
from jsp.wire.frames import push_frame, push_new_cid
from jsp.wire.ranges import RangeSet

_ISSUED = 2  # the one in use and one to change to
_NO_TOKENS: frozenset[bytes] = frozenset()


def _over(_: object) -> Any:
    raise AssertionError("the connection is over")


class LocalCids:
    """Ids that we chose, by which the peer addresses us on one path.

    `first`: the one of sequence number 0, which the peer knows; empty: `issue` makes it. `make` gives a fresh id and
    its reset token and routes it to this connection; `drop` undoes that.
    """

    __slots__ = ("_drop", "_make", "_next", "_path_id", "_pending", "_told", "_tokens", "active")

    def __init__(
        self, path_id: int, first: bytes, make: Callable[[int], tuple[bytes, bytes]], drop: Callable[[bytes], None]
    ) -> None:
        self._path_id = path_id
        self._make = make
        self._drop = drop
        self._next = self._told = 1 if first else 0  # NEW_CID was sent for what is below `_told`
        self.active: dict[int, bytes] = {0: first} if first else {}
        self._tokens: dict[int, bytes] = {}
        self._pending: list[int] = []

    def issue(self, limit: int) -> None:
        """Give out ids until the peer has as many as it wants, at most `_ISSUED`."""
        while len(self.active) < min(limit, _ISSUED):
            sequence = self._next
            self._next += 1
            self.active[sequence], self._tokens[sequence] = self._make(self._path_id)
            self._pending.append(sequence)

    def has_frames(self) -> bool:
        return bool(self._pending)

    def write_frames(self, train: Train) -> None:
        """NEW_CID for every id the peer has not been told of."""
        while self._pending:
            sequence = self._pending[0]
            cid = self.active.get(sequence)
            if cid is not None:
                if not push_new_cid(train, self._path_id, sequence, 0, cid, self._tokens[sequence]):
                    return
                train.note(self, sequence, 0)
                self._told = max(self._told, sequence + 1)
            del self._pending[0]

    def introduce(self, train: Train) -> None:
        """NEW_CID of the first id, on a path where the peer cannot answer before it has it."""
        token = self._tokens.get(0)
        if token is not None and push_new_cid(train, self._path_id, 0, 0, self.active[0], token):
            self._told = max(self._told, 1)

    def on_acked(self, sequence: int, _: int) -> None:
        self._tokens.pop(sequence, None)
        if not self._tokens:
            self._tokens = {}  # a dict keeps its size
        if sequence in self._pending:
            self._pending.remove(sequence)

    def on_lost(self, sequence: int, _: int) -> None:
        if sequence in self.active and sequence not in self._pending and sequence in self._tokens:
            self._pending.append(sequence)

    def retire(self, sequence: int, used: bytes = b"") -> None:
        """The peer no longer uses the id of `sequence`; its packet that says so came by the id `used`."""
        if sequence >= self._told:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "retires a connection id that was never given out")
        if self.active.get(sequence) == used:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "retires the connection id it uses")
        cid = self.active.pop(sequence, None)
        self._tokens.pop(sequence, None)
        if sequence in self._pending:
            self._pending.remove(sequence)
        if cid is not None:
            self._drop(cid)

    def close(self) -> None:
        """Stop routing all of them to this connection, for which none is made any more."""
        for cid in self.active.values():
            self._drop(cid)
        self.active.clear()
        # They lead back to the connection: a cycle, and what is in one is freed late and dearly.
        self._make = self._drop = _over


class RemoteCids:
    """Ids that the peer chose, by which we address it on one path.

    Attributes:
        current: the one in use; empty while the peer has told none.
        reset_tokens: stateless reset tokens of those we know.
    """

    __slots__ = (
        "_path_id", "_retire_before", "_retired", "_sequence", "_spares", "_to_retire", "_unacknowledged", "current",
        "reset_tokens",
    )  # fmt: skip

    def __init__(self, path_id: int, current: bytes) -> None:
        self._path_id = path_id
        self.current = current
        self._sequence = 0 if current else -1
        self._spares: dict[int, tuple[bytes, bytes]] = {}
        self._retire_before = 0
        self._retired = RangeSet()
        self._to_retire: list[int] = []
        self._unacknowledged: list[int] = []
        self.reset_tokens = _NO_TOKENS

    def add(self, sequence: int, retire_before: int, cid: bytes, token: bytes) -> None:
        """NEW_CID arrived (RFC 9000 section 19.15)."""
        if sequence in self._spares or sequence == self._sequence:
            known = self.current if sequence == self._sequence else self._spares[sequence][0]
            if known != cid:
                raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "one sequence number for two connection ids")
            return
        if sequence in self._retired:
            return  # a late copy of a frame whose id was given back
        if cid == self.current or cid in [spare for spare, _ in self._spares.values()]:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "one connection id under two sequence numbers")
        if sequence < self._retire_before:
            self._retire(sequence)
            return
        self._spares[sequence] = (cid, token)
        if retire_before > self._retire_before:
            self._retire_before = retire_before
            for old in [s for s in self._spares if s < retire_before]:
                del self._spares[old]
                self._retire(old)
            if self._sequence < retire_before:
                self.rotate()
            self._retired.drop_below(retire_before)
        if not self.current:
            self.rotate()
        if len(self._spares) + 1 > LIMITS.connection_ids:
            raise ProtocolViolation(Code.CONNECTION_ID_LIMIT, "more connection ids than allowed")

    def _retire(self, sequence: int) -> None:
        if sequence >= self._retire_before:
            # What is below goes back whenever it comes. Numbers are given out without holes, so few ranges are left.
            self._retired.add(sequence, sequence + 1)
            if len(self._retired) > 2 * LIMITS.connection_ids:
                raise ProtocolViolation(Code.CONNECTION_ID_LIMIT, "too many sequence numbers left out")
        if sequence in self._unacknowledged:
            return
        # SPEC 4.3: retirements not yet acknowledged are bounded, or a peer could have us remember any number.
        if len(self._unacknowledged) >= 2 * LIMITS.connection_ids:
            raise ProtocolViolation(Code.CONNECTION_ID_LIMIT, "too many connection ids retired at once")
        self._unacknowledged.append(sequence)
        self._to_retire.append(sequence)

    def rotate(self) -> bool:
        """Change to a spare id, retiring the one in use; False when there is none."""
        if not self._spares:
            return False
        sequence = min(self._spares)
        cid, token = self._spares.pop(sequence)
        if self.current:
            self._retire(self._sequence)
        self._sequence, self.current = sequence, cid
        self.reset_tokens = frozenset((token,))
        return True

    def has_frames(self) -> bool:
        return bool(self._to_retire)

    def write_frames(self, train: Train) -> None:
        """RETIRE_CID for every id given up."""
        while self._to_retire:
            if not push_frame(train, frames.RETIRE_CID, self._path_id, self._to_retire[0]):
                return
            train.note(self, self._to_retire.pop(0), 0)

    def on_acked(self, sequence: int, _: int) -> None:
        """The retirement arrived."""
        if sequence in self._unacknowledged:
            self._unacknowledged.remove(sequence)
        if sequence in self._to_retire:
            self._to_retire.remove(sequence)

    def on_lost(self, sequence: int, _: int) -> None:
        if sequence in self._unacknowledged and sequence not in self._to_retire:
            self._to_retire.append(sequence)

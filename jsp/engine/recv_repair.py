"""Forward error correction on its way in: messages that came, repairs, and what follows from both (spec section 8.8).

Each repair is an equation between the symbols of messages: those that are here are taken out of it, and the others
are its unknowns. The equations are kept solved as far as they can be (each has one unknown that no other has), so
one with a single unknown left *is* the missing message.

A peer may send what it likes. There are at most as many equations as a mask has bits, all that is kept is bounded in
bytes and counts for the endpoint's memory, a repair costs a few hundred operations on one symbol, and what comes out is
a message like one that came by itself: whoever takes it checks it in the same way.
"""

from __future__ import annotations

from jsp.config import LIMITS
from jsp.engine.builder import Train
from jsp.engine.flow import ConnectionWindow
from jsp.engine.gf256 import Equation, cauchy, combine, inverse
from jsp.engine.pieces import PIECES_MAX, count_pieces, find_pieces
from jsp.errors import BadPacket
from jsp.wire.ranges import RangeSet
from jsp.wire.repair_frames import MASK_BITS, push_recovered
from jsp.wire.symbols import ids_of, make_symbol, mask_of, parse_symbol

# Ids this far below the newest are forgotten: a mask reaches half as far, and packets may overtake each other.
_SPAN = 2 * MASK_BITS
_OVERHEAD = LIMITS.message_overhead


class RecvRepair:
    """Of one connection; made when the first repair comes.

    Attributes:
        solved: messages found, as (id, order, data), for whoever takes them out.
        owed: ids of those found that the peer is to be told of.
        recovered: how many were found, and were missing.
    """

    __slots__ = (
        "_counted", "_equations", "_held", "_newest", "_sources", "_sums", "_window", "owed", "recovered", "solved",
    )  # fmt: skip

    def __init__(self, window: ConnectionWindow) -> None:
        self._window = window
        self._sources: dict[int, bytes] = {}
        # By the unknown that is in no other one; its coefficient there is 1.
        self._equations: dict[int, Equation] = {}
        # Repairs of messages in fragments, by message and number.
        self._sums: dict[int, dict[int, bytes]] = {}
        # Bytes held, and how many of them the window knows of.
        self._held = 0
        self._counted = 0
        self._newest = 0
        self.solved: list[tuple[int, int, bytes]] = []
        self.owed: list[int] = []
        self.recovered = 0

    def on_message(self, message_id: int, order: int, data: bytes) -> None:
        """A message came by itself."""
        self._advance(message_id)
        if message_id > self._newest - _SPAN and message_id not in self._sources:
            self._learn(message_id, make_symbol(order, data))
        self._settle()

    def on_repair(self, newest: int, mask: int, number: int, total: bytes) -> None:
        """REPAIR came."""
        self._advance(newest)
        if newest - mask.bit_length() >= self._newest - _SPAN and len(self._equations) < MASK_BITS:
            self._take(newest, mask, number, total)
        self._settle()

    def _take(self, newest: int, mask: int, number: int, total: bytes) -> None:
        terms = {message_id: cauchy(number, message_id) for message_id in ids_of(newest, mask)}
        known = [(terms.pop(i), self._sources[i]) for i in list(terms) if i in self._sources]
        if not terms or max((len(symbol) for _, symbol in known), default=0) > len(total):
            return
        self._add(Equation(terms, combine([(1, total), *known], len(total))))

    def _add(self, equation: Equation) -> None:
        """Take another equation, none of whose unknowns is known."""
        for unknown in list(equation.terms):
            other = self._equations.get(unknown)
            if other is not None:
                equation.subtract(other, equation.terms[unknown])
        if not equation.terms:
            return
        unknown = next(iter(equation.terms))
        equation.scale(inverse(equation.terms[unknown]))
        for other in self._equations.values():
            factor = other.terms.get(unknown)
            if factor is not None:
                self._held -= len(other.total)
                other.subtract(equation, factor)
                self._held += len(other.total)
        self._equations[unknown] = equation
        self._held += len(equation.total)
        self._collect()

    def _learn(self, message_id: int, symbol: bytes) -> None:
        """The symbol of a message is known."""
        self._keep(message_id, symbol)
        known = Equation({message_id: 1}, symbol)
        mine = self._equations.pop(message_id, None)
        for other in self._equations.values():
            factor = other.terms.get(message_id)
            if factor is not None:
                self._held -= len(other.total)
                other.subtract(known, factor)
                self._held += len(other.total)
        if mine is not None:
            self._held -= len(mine.total)
            mine.subtract(known, 1)
            if mine.terms:
                self._add(mine)
        self._collect()

    def _keep(self, message_id: int, symbol: bytes) -> None:
        self._sources[message_id] = symbol
        self._held += len(symbol)

    def _collect(self) -> None:
        """Take out the equations that are answers."""
        for unknown in [i for i, equation in self._equations.items() if len(equation.terms) == 1]:
            total = self._equations.pop(unknown).total
            self._held -= len(total)
            try:
                order, data = parse_symbol(total)
            except BadPacket:
                continue  # the repairs were not about the messages that came
            self._keep(unknown, make_symbol(order, data))
            self.solved.append((unknown, order, data))

    def _advance(self, message_id: int) -> None:
        """Forget what is too far below the newest id."""
        if message_id <= self._newest:
            return
        self._newest = message_id
        oldest = message_id - _SPAN
        for i in [i for i in self._sources if i <= oldest]:
            self._held -= len(self._sources.pop(i))
        for i in [i for i, equation in self._equations.items() if min(equation.terms) <= oldest]:
            self._held -= len(self._equations.pop(i).total)

    # --- messages in fragments ------------------------------------------------------------------------------

    def on_fragments(self, message_id: int, size: int, number: int, total: bytes) -> None:
        """REPAIR_FRAGMENTS came, of a message of `size` bytes of which something is here."""
        sums = self._sums.get(message_id, {})
        count = count_pieces(size, len(total))
        if not 1 < count <= PIECES_MAX or len(sums) == count or number & 127 in sums:
            return
        if sums and len(next(iter(sums.values()))) != len(total):
            return
        self._sums[message_id] = sums
        sums[number & 127] = total
        self._held += len(total) + _OVERHEAD
        self._settle()

    def find(self, message_id: int, data: bytearray, got: RangeSet, size: int) -> dict[int, bytes]:
        """What such a message lacks, by offset; nothing while that is not known."""
        sums = self._sums.get(message_id)
        return find_pieces(data, got, size, sums) if sums else {}

    def forget(self, message_id: int) -> None:
        """It is over."""
        sums = self._sums.pop(message_id, None)
        if sums:
            self._held -= sum(len(total) + _OVERHEAD for total in sums.values())
            self._settle()

    # --- bounds --------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Let go of what there is no room for, the oldest first, and say what is held."""
        while self._sources and not self._has_room():
            self._held -= len(self._sources.pop(next(iter(self._sources))))
        while self._equations and not self._has_room():
            self._held -= len(self._equations.pop(next(iter(self._equations))).total)
        while self._sums and not self._has_room():
            self._held -= sum(len(total) + _OVERHEAD for total in self._sums.pop(next(iter(self._sums))).values())
        self._window.hold_spare(self._held - self._counted)
        self._counted = self._held

    def _has_room(self) -> bool:
        return self._held <= LIMITS.repair_bytes and self._window.may_spare(self._held - self._counted)

    def rest(self) -> None:
        """Nothing came for long: what is here makes good nothing any more."""
        self._sources.clear()
        self._equations.clear()
        self._sums.clear()
        self._held = 0
        self._settle()

    def on_delivered(self, message_id: int) -> None:
        """A message that was found was missing, too."""
        self.recovered += 1
        self.owed.append(message_id)

    # --- telling the peer ----------------------------------------------------------------------------------

    def write_frames(self, train: Train) -> bool:
        """RECOVERED for what was found; False when the packet is full."""
        while self.owed:
            newest = max(self.owed)
            told = [i for i in self.owed if i > newest - MASK_BITS]
            mask = mask_of(newest, told)
            if not push_recovered(train, newest, mask):
                return False
            train.note(self, newest, mask)
            self.owed = [i for i in self.owed if i <= newest - MASK_BITS]
        return True

    def on_acked(self, newest: int, mask: int) -> None:
        """The peer knows."""

    def on_lost(self, newest: int, mask: int) -> None:
        """RECOVERED was lost; what is old by now has long been sent again or given up."""
        self.owed += [i for i in ids_of(newest, mask) if i > self._newest - _SPAN and i not in self.owed]

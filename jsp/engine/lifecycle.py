# cython: language_level=3, annotation_typing=False, nonecheck=True
"""How a connection ends (spec section 4.4; RFC 9000 section 10).

The state, and what is said when closing: which levels still have to carry CLOSE, with which code, and how often
it is repeated to a peer that goes on talking.
"""

from __future__ import annotations

from jsp.engine.events import Closed
from jsp.engine.states import CONNECTION, Moved, State, can_move, move
from jsp.errors import Code

# What may be said before the peer has proven who it is (spec section 5.10): enough to act on, nothing to learn from.
_PUBLIC: dict[int, Code] = {
    Code.NO_ERROR: Code.REFUSED,
    Code.REFUSED: Code.REFUSED,
    Code.BUSY: Code.BUSY,
    Code.VERSION: Code.VERSION,
    Code.NO_PROTOCOL: Code.VERSION,
    Code.DECODE: Code.DECODE,
    Code.FRAME_ENCODING: Code.DECODE,
    Code.ILLEGAL_PARAMETER: Code.ILLEGAL_PARAMETER,
    Code.PARAMETER: Code.ILLEGAL_PARAMETER,
    # The other side asked for these in so many words, and can only act on them when it hears which it was.
    Code.ACCESS_DENIED: Code.ACCESS_DENIED,
    Code.IDENTITY_REQUIRED: Code.IDENTITY_REQUIRED,
    Code.UNKNOWN_PEER: Code.UNKNOWN_PEER,
}

# Asked for every packet, and looking members up in their class is slow.
_CLOSING = State.CLOSING
_DRAINING = State.DRAINING
_CLOSED = State.CLOSED


class Lifecycle:
    """Attributes:
    state: see `states.CONNECTION`.
    closed: how it ended, once that is decided.
    close_due: levels at which CLOSE is to be sent now.
    closing_with: what will be said once lingering is over, or once nothing better than an unproven CLOSE came.
    """

    __slots__ = ("_answers", "close_due", "closed", "closing_with", "state")

    def __init__(self) -> None:
        self.state = State.HANDSHAKE
        self.closed: Closed | None = None
        self.close_due: tuple[int, ...] = ()
        self.closing_with: Closed | None = None
        self._answers = 0

    def is_closed(self) -> bool:
        """Whether nothing is sent or taken any more but CLOSE."""
        state = self.state
        return state is _CLOSING or state is _DRAINING or state is _CLOSED

    def confirm(self) -> None:
        """The handshake is over."""
        self.state = move(CONNECTION, self.state, Moved.CONFIRMED)

    def linger(self) -> None:
        """The application is done; deliver what was written."""
        self.state = move(CONNECTION, self.state, Moved.LINGER)

    def end(self, moved: Moved, closed: Closed) -> bool:
        """The connection ends by `moved`; False when it was over already."""
        if not can_move(CONNECTION, self.state, moved):
            return False
        self.state = move(CONNECTION, self.state, moved)
        if self.closed is None:
            self.closed = closed
        return True

    def drained(self) -> None:
        """Late packets have had their time."""
        if self.state is not State.CLOSED:
            self.state = move(CONNECTION, self.state, Moved.DRAINED)

    def wants_answer(self) -> bool:
        """A packet came while closing: whether it is answered by CLOSE. The 1st, 2nd, 4th, 8th ... is."""
        self._answers += 1
        return self.state is State.CLOSING and self._answers & (self._answers - 1) == 0

    def frame(self, authenticated: bool) -> tuple[int, str, bool]:
        """(code, reason, application) for a CLOSE frame; little of it before the peer is authenticated."""
        assert self.closed is not None
        if authenticated:
            return self.closed.code, self.closed.reason, self.closed.application
        if self.closed.application:
            return Code.REFUSED, "", False
        return _PUBLIC.get(self.closed.code, Code.CRYPTO), "", False

"""Lifecycles as tables: of a connection and of a stream's two halves (spec sections 4 and 8.2).

A move that is not in the table is a bug here, or a violation by the peer that the caller reports; it is never
passed over in silence. The diagrams in docs/spec.md and the exhaustive tests are these tables.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeVar


class State(Enum):
    """Of a connection."""

    HANDSHAKE = auto()
    "Keys or the decision about the peer are missing."
    OPEN = auto()
    LINGERING = auto()
    "Closed by the application; what was written is still being delivered."
    CLOSING = auto()
    "CLOSE was sent; it is repeated to a peer that goes on talking."
    DRAINING = auto()
    "The peer sent CLOSE; nothing is sent any more."
    CLOSED = auto()


class Moved(Enum):
    """What moves a connection."""

    CONFIRMED = auto()
    LINGER = auto()
    CLOSE = auto()
    PEER_CLOSED = auto()
    VANISHED = auto()
    "Nothing was heard for too long, or there never was anybody."
    DRAINED = auto()


CONNECTION: dict[State, dict[Moved, State]] = {
    State.HANDSHAKE: {
        Moved.CONFIRMED: State.OPEN,
        Moved.CLOSE: State.CLOSING,
        Moved.PEER_CLOSED: State.DRAINING,
        Moved.VANISHED: State.CLOSED,
    },
    State.OPEN: {
        Moved.LINGER: State.LINGERING,
        Moved.CLOSE: State.CLOSING,
        Moved.PEER_CLOSED: State.DRAINING,
        Moved.VANISHED: State.CLOSED,
    },
    State.LINGERING: {
        Moved.CLOSE: State.CLOSING,
        Moved.PEER_CLOSED: State.DRAINING,
        Moved.VANISHED: State.CLOSED,
    },
    State.CLOSING: {Moved.PEER_CLOSED: State.DRAINING, Moved.DRAINED: State.CLOSED},
    State.DRAINING: {Moved.DRAINED: State.CLOSED},
    State.CLOSED: {},
}


class Sending(Enum):
    """Of a stream's sending half (RFC 9000 section 3.1)."""

    OPEN = auto()
    FINISHING = auto()
    "The end is written, not yet acknowledged."
    RESETTING = auto()
    "RESET is written, not yet acknowledged."
    DONE = auto()


class SendMoved(Enum):
    FINISH = auto()
    RESET = auto()
    ALL_ACKED = auto()


SENDING: dict[Sending, dict[SendMoved, Sending]] = {
    Sending.OPEN: {SendMoved.FINISH: Sending.FINISHING, SendMoved.RESET: Sending.RESETTING},
    Sending.FINISHING: {SendMoved.RESET: Sending.RESETTING, SendMoved.ALL_ACKED: Sending.DONE},
    Sending.RESETTING: {SendMoved.ALL_ACKED: Sending.DONE},
    Sending.DONE: {},
}


class Receiving(Enum):
    """Of a stream's receiving half (RFC 9000 section 3.2)."""

    OPEN = auto()
    SIZE_KNOWN = auto()
    "The end was told; some bytes before it are missing or not yet read."
    STOPPED = auto()
    "The application reads no more; what comes is dropped."
    RESET = auto()
    "The peer abandoned the stream; the application has not been told yet."
    DONE = auto()


class ReceiveMoved(Enum):
    FIN = auto()
    RESET = auto()
    STOP = auto()
    CONSUMED = auto()
    "The application has read everything, or heard of the reset."


RECEIVING: dict[Receiving, dict[ReceiveMoved, Receiving]] = {
    Receiving.OPEN: {
        ReceiveMoved.FIN: Receiving.SIZE_KNOWN,
        ReceiveMoved.RESET: Receiving.RESET,
        ReceiveMoved.STOP: Receiving.STOPPED,
    },
    Receiving.SIZE_KNOWN: {
        ReceiveMoved.CONSUMED: Receiving.DONE,
        ReceiveMoved.RESET: Receiving.RESET,
        ReceiveMoved.STOP: Receiving.STOPPED,
    },
    Receiving.STOPPED: {ReceiveMoved.CONSUMED: Receiving.DONE},
    Receiving.RESET: {ReceiveMoved.CONSUMED: Receiving.DONE, ReceiveMoved.STOP: Receiving.DONE},
    Receiving.DONE: {},
}

_S = TypeVar("_S")
_M = TypeVar("_M")


def move(table: dict[_S, dict[_M, _S]], state: _S, moved: _M) -> _S:
    """Where `moved` leads from `state`."""
    try:
        return table[state][moved]
    except KeyError:
        raise AssertionError(f"no move {moved} from {state}") from None


def can_move(table: dict[_S, dict[_M, _S]], state: _S, moved: _M) -> bool:
    """Whether `moved` may happen in `state`."""
    return moved in table[state]

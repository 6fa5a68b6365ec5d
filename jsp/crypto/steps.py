"""The steps of a handshake machine (spec section 5.9)."""

from __future__ import annotations

from enum import Enum, auto


class Step(Enum):
    """Where a machine stands: what it waits for."""

    # Members are single, and looked up for every message: no Python call for that.
    __hash__ = object.__hash__

    START = auto()
    WAIT_CLIENT_HELLO = auto()
    WAIT_SERVER_HELLO = auto()
    WAIT_PARAMS = auto()
    WAIT_REQUEST = auto()
    WAIT_IDENTITY = auto()
    WAIT_PROOF = auto()
    WAIT_DECISION = auto()
    WAIT_FINISHED = auto()
    WAIT_CLIENT_FLIGHT = auto()
    WAIT_CLIENT_PROOF = auto()
    WAIT_CLIENT_FINISHED = auto()
    COMPLETE = auto()
    FAILED = auto()

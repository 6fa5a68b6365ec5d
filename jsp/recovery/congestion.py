"""The congestion controller interface, and the choice of one by name (RFC 9002 section 7).

A controller owns one number, `window`: how many bytes may be in flight on its path. It hears of bytes sent,
acknowledged and lost, and never of packets or frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from jsp.recovery.newreno import NewReno


class Controller(Protocol):
    """What a path asks of its congestion controller. Bytes and seconds.

    Attributes:
        window: bytes that may be in flight.
        slow_start: whether the window still grows exponentially; the pacer then leaves it room to.
    """

    window: int

    @property
    def slow_start(self) -> bool: ...

    def on_acked(self, size: int, sent_time: float, in_flight: int) -> None:
        """`size` bytes sent at `sent_time` or before arrived, when `in_flight` were under way."""

    def on_congestion(self, sent_time: float, now: float) -> None:
        """Loss (or a CE mark) of packets the newest of which left at `sent_time`."""

    def on_persistent_congestion(self) -> None:
        """Everything was lost for several probe timeouts (RFC 9002 section 7.6)."""

    def on_datagram_size(self, size: int) -> None:
        """The path's datagrams now carry `size` bytes."""


CONTROLLERS: dict[str, Callable[[int], Controller]] = {"newreno": NewReno}


def make_controller(name: str, datagram_size: int) -> Controller:
    """The controller called `name` for datagrams of `datagram_size` bytes."""
    return CONTROLLERS[name](datagram_size)

"""The choice of a congestion controller by its name, or of one's own."""

from __future__ import annotations

from collections.abc import Callable

from jsp.recovery.bbr import Bbr
from jsp.recovery.controller import Controller
from jsp.recovery.cubic import Cubic
from jsp.recovery.ledbat import Ledbat
from jsp.recovery.newreno import NewReno

CONTROLLERS: dict[str, Callable[[int], Controller]] = {
    "newreno": NewReno,
    "cubic": Cubic,
    "bbr": Bbr,
    "ledbat": Ledbat,
}


def make_controller(choice: str | Callable[[int], Controller], datagram_size: int) -> Controller:
    """The controller called `choice`, or what `choice` makes, for datagrams of `datagram_size` bytes."""
    make = CONTROLLERS[choice] if isinstance(choice, str) else choice
    return make(datagram_size)

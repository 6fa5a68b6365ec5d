# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What a client may have under way at once, and who waits for it to become less.

The protocol bounds the calls of a connection and the bytes of their requests (`codec.py`). A caller who would exceed
that waits here, and those who wait are served in the order they came, so a large request is not passed over for ever
by small ones.
"""

from __future__ import annotations

from collections import deque

from gevent import get_hub
from gevent.hub import Waiter

from jsp.errors import ConnectionClosed
from jsp.rpc.codec import CALLS_MAX, HELD_MAX

_CALLS_MAX = CALLS_MAX
_HELD_MAX = HELD_MAX


class Slots:
    """Room for calls.

    Attributes:
        calls: how many are under way.
        held: the bytes of their requests.
    """

    __slots__ = ("_closed", "_waiting", "calls", "held")

    def __init__(self) -> None:
        self.calls = 0
        self.held = 0
        self._waiting: deque[tuple[int, Waiter[None]]] = deque()
        self._closed: ConnectionClosed | None = None

    def acquire(self, size: int) -> None:
        """Wait until there is room for a request of `size` bytes, and take it. Raises ConnectionClosed."""
        if self._waiting or not self._has_room(size):
            self._wait(size)
        else:
            self._take(size)

    def _take(self, size: int) -> None:
        self.calls += 1
        self.held += size

    def _has_room(self, size: int) -> bool:
        return self.calls < _CALLS_MAX and (self.held + size <= _HELD_MAX or not self.held) and self._closed is None

    def _wait(self, size: int) -> None:
        if self._closed is not None:
            raise self._closed
        waiter: Waiter[None] = Waiter(get_hub())
        entry = (size, waiter)
        self._waiting.append(entry)
        try:
            waiter.get()
        except BaseException:
            self._leave(entry)
            raise

    def _leave(self, entry: tuple[int, Waiter[None]]) -> None:
        if entry in self._waiting:
            self._waiting.remove(entry)
            self._wake()
        else:
            self.release(entry[0])

    def release(self, size: int) -> None:
        """A call whose request had `size` bytes is over."""
        self.calls -= 1
        self.held -= size
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        # Their room is taken before they run, or somebody who comes meanwhile would have it.
        while self._waiting and self._has_room(self._waiting[0][0]):
            size, waiter = self._waiting.popleft()
            self._take(size)
            get_hub().loop.run_callback(waiter.switch, None)

    def close(self, error: ConnectionClosed) -> None:
        """The connection is over: nobody gets room any more, neither those who wait nor those who come."""
        self._closed = error
        for _, waiter in self._waiting:
            get_hub().loop.run_callback(waiter.throw, error)

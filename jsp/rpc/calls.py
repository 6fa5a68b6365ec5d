"""What a client has in hand of a call that it does not just wait for: `Future` and `Items`.

Both stand on a `Caller`, the part of a client that sends requests and gets the answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

from jsp.errors import Timeout
from jsp.net import clock
from jsp.net.waiting import Signal
from jsp.rpc.errors import Cancelled
from jsp.rpc.session import ClientCall


class Caller(Protocol):
    """What a call needs of its client."""

    timeout: float | None

    def outcome(self, call: ClientCall) -> Any:
        """The result of a call that is over; raises what it failed with."""

    def cancel(self, call: ClientCall) -> None:
        """Stop a call; does not wait."""

    def take_item(self, call: ClientCall) -> Any:
        """The next item of a stream; there must be one."""


class Future:
    """The outcome of a call that was made with `submit`; any number of greenlets may wait for it."""

    def __init__(self, client: Caller, call: ClientCall, method: str) -> None:
        self._client = client
        self._call = call
        self._method = method
        self._cancelled = False
        self._known = False
        self._value: Any = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<jsp.rpc.Future {self._method} {'done' if self.done() else 'under way'}>"

    def done(self) -> bool:
        """Whether the call is over: `result` does not wait any more."""
        return self._cancelled or bool(self._call.final)

    def cancel(self) -> bool:
        """Stop the call on the server; `result` then raises Cancelled. False when it is over already."""
        if self.done():
            return False
        self._cancelled = True
        self._client.cancel(self._call)
        self._call.signal.notify()
        return True

    def result(self, timeout: float | None = None) -> Any:
        """What the method returned; raises what it failed with, as `Client.call` does.

        Raises Timeout after `timeout` seconds (None: the client's `timeout`); the call goes on then, and `result` can
        be asked again.
        """
        limit = self._client.timeout if timeout is None else timeout
        deadline = math.inf if limit is None else clock.now() + limit
        while not self.done():
            _wait(self._call.signal, deadline, f"{self._method}: no result within {limit} s")
        if self._cancelled:
            raise Cancelled(f"{self._method} was cancelled")
        if not self._known:
            self._known = True
            try:
                self._value = self._client.outcome(self._call)
            except BaseException as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._value


class Items(Iterator[Any]):
    """What a streaming method gives, item by item. Dropping it, or leaving its `with` block, stops the method.

    Attributes:
        timeout: seconds to wait for each item; Timeout after that, and the stream goes on. None: for ever.
    """

    def __init__(self, client: Caller, call: ClientCall, method: str) -> None:
        self.timeout = client.timeout
        self._client = client
        self._call = call
        self._method = method
        self._closed = False

    def __repr__(self) -> str:
        return f"<jsp.rpc.Items of {self._method}>"

    def __enter__(self) -> Items:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __next__(self) -> Any:
        call = self._call
        assert call.inbox is not None
        deadline = math.inf if self.timeout is None else clock.now() + self.timeout
        while not call.inbox.payloads:
            if self._closed:
                raise StopIteration
            if call.final:
                self._closed = True
                self._client.outcome(call)
                raise StopIteration
            _wait(call.signal, deadline, f"{self._method}: no item within {self.timeout} s")
        return self._client.take_item(call)

    def close(self) -> None:
        """Stop the method on the server; iterating ends. Harmless when it is over."""
        if self._closed:
            return
        self._closed = True
        self._client.cancel(self._call)
        self._call.signal.notify()


def _wait(signal: Signal, deadline: float, words: str) -> None:
    left = deadline - clock.now()
    if left <= 0:
        raise Timeout(words)
    signal.wait(None if left == math.inf else left)

"""Disk work in the hub's thread pool, so that a slow disk stops no connection.

What runs there touches files and plain values, never a connection. Handing work over costs some 50 us, and a thread
that wants the interpreter while the hub is busy waits for it at each system call; so work comes in batches: a chunk,
or as many small files as make one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar, cast

from gevent import get_hub

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class _Outcome(Generic[R]):
    result: R | None = None
    error: Exception | None = None


def run(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` in a thread and wait for its result or exception.

    When the waiting greenlet is killed, the call is still waited for: it uses descriptors that whoever
    cleans up is going to close, and their numbers would be those of other files by then.
    """

    def call() -> _Outcome[R]:
        # Returned rather than raised: the pool prints a traceback for exceptions that it sees.
        try:
            return _Outcome(function(*args, **kwargs))
        except Exception as error:
            return _Outcome(error=error)

    job = get_hub().threadpool.spawn(call)
    try:
        outcome = job.get()
    except BaseException:
        while not job.ready():
            try:
                job.wait()
            except BaseException:
                continue
        raise
    assert outcome is not None
    if outcome.error is not None:
        raise outcome.error
    return cast(R, outcome.result)

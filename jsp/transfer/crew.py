"""Greenlets that work on one thing: they end together, and the first failure is everybody's."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import Greenlet


def together(*functions: Callable[[], None]) -> None:
    """Run `functions`, each in a greenlet, until all have returned or one has raised; raises what that one did.

    None of them runs any more when this returns, however it does.
    """
    greenlets: list[Greenlet[..., Exception | None]] = [gevent.spawn(_caught, function) for function in functions]
    try:
        for greenlet in gevent.iwait(greenlets):
            error = greenlet.get()
            if error is not None:
                raise error
    finally:
        _end(greenlets)


def _end(greenlets: list[Greenlet[..., Exception | None]]) -> None:
    """Whoever is in a thread ends late (see `threads.run`); who waits for that may be killed once more meanwhile."""
    interrupted: BaseException | None = None
    while True:
        try:
            gevent.killall(greenlets)
            break
        except BaseException as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _caught(function: Callable[[], None]) -> Exception | None:
    # Returned rather than raised: gevent prints a traceback for greenlets that end with an exception.
    try:
        function()
    except Exception as error:
        return error
    return None

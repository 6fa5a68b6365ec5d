"""What can go wrong in a call, and the numbers it has on the wire.

A call that fails in the network raises what the transport raises (`jsp.ConnectionClosed`, `jsp.Timeout`); everything
else is an `RpcError`. Which of its classes says whose fault it was: `RemoteError` is the method's own exception, the
others mean that the method was not run, or that what it gave could not be carried.
"""

# ruff: noqa: N818 - named as those in jsp/errors.py are

from __future__ import annotations

import traceback
from enum import IntEnum
from typing import Any

from jsp.errors import Error, MessageTooLarge

# Names, words and tracebacks of a remote exception are cut to this many characters.
NAME_MAX = 100
TEXT_MAX = 4096
TRACEBACK_MAX = 32768


class ErrorCode(IntEnum):
    """Why a call failed, as ERROR frames say it."""

    RAISED = 1
    UNKNOWN_METHOD = 2
    BAD_ARGUMENTS = 3
    WRONG_CALL = 4
    UNSERIALISABLE = 5
    TOO_LARGE = 6
    CANCELLED = 7


class CloseCode(IntEnum):
    """Why a connection was closed: application error codes of jsp-rpc/1."""

    DONE = 0
    MALFORMED = 1
    LIMIT = 2


class RpcError(Error):
    """Root of what a call raises beside the errors of the connection."""


class RemoteError(RpcError):
    """The method raised an exception.

    Attributes:
        name: its class, without the module.
        message: its words, at most 4,096 characters.
        traceback: where it happened, when the server was told to send that; else None.
    """

    def __init__(self, name: str, message: str, traceback: str | None = None) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name
        self.message = message
        self.traceback = traceback


class UnknownMethod(RpcError, LookupError):
    """The server has no method of that name."""


class BadArguments(RpcError, TypeError):
    """The arguments do not fit the method's signature; it was not run."""


class WrongCall(RpcError, TypeError):
    """`call` of a method that streams its items, or `stream` of one that does not; it was not run."""


class Unserialisable(RpcError, TypeError):
    """An argument, a result or an item that cannot be carried: see `jsp.rpc.codec` for what can."""


class TooLarge(RpcError, MessageTooLarge):
    """A request, a result or an item that is larger than this side sends or the other one takes."""


class Cancelled(RpcError):
    """The call was stopped before it was over: by `Future.cancel`, or on the server."""


class BadFrame(Error):
    """The peer's bytes are not jsp-rpc/1. Becomes a closed connection, at one place.

    Attributes:
        code: a `CloseCode`.
        reason: what was wrong, for people.
    """

    def __init__(self, reason: str, code: CloseCode = CloseCode.MALFORMED) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


_CLASSES: dict[int, type[RpcError]] = {
    ErrorCode.UNKNOWN_METHOD: UnknownMethod,
    ErrorCode.BAD_ARGUMENTS: BadArguments,
    ErrorCode.WRONG_CALL: WrongCall,
    ErrorCode.UNSERIALISABLE: Unserialisable,
    ErrorCode.TOO_LARGE: TooLarge,
    ErrorCode.CANCELLED: Cancelled,
}


def fields_of(error: BaseException, with_traceback: bool) -> tuple[int, str, str, str | None]:
    """What an ERROR frame carries of an exception that a method raised."""
    text = "".join(traceback.format_exception(error))[-TRACEBACK_MAX:] if with_traceback else None
    return int(ErrorCode.RAISED), type(error).__name__[:NAME_MAX], words_of(error), _sendable(text) if text else None


def words_of(error: BaseException) -> str:
    """`str(error)`, short enough to send, even if the exception cannot be printed."""
    try:
        return _sendable(str(error)[:TEXT_MAX])
    except Exception:
        return "(its words cannot be printed)"


def _sendable(text: str) -> str:
    # Lone surrogates, as in undecodable file names, have no UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def parse_error(value: Any) -> RpcError:
    """The exception that an ERROR frame carries. Raises BadFrame."""
    if type(value) is not list or len(value) != 4:
        raise BadFrame("an ERROR frame holds four values")
    code, name, message, trace = value
    if type(code) is not int or type(name) is not str or type(message) is not str:
        raise BadFrame("an ERROR frame holds a code, a name and words")
    if trace is not None and type(trace) is not str:
        raise BadFrame("the traceback in an ERROR frame is text")
    message = message[:TEXT_MAX]
    kind = _CLASSES.get(code)
    if kind is not None:
        return kind(message)
    # A code of a later version is still an error of the other side.
    return RemoteError(name[:NAME_MAX], message, trace[-TRACEBACK_MAX:] if trace is not None else None)

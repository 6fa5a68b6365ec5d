"""Every exception the library raises and every error code it puts on the wire, on one page.

An error says whose fault it is. What the caller did wrong is a `LocalError`; what the peer did wrong is a
`ProtocolViolation`, which never reaches an application but becomes a CLOSE frame at one place and a
`ConnectionClosed` for those who wait. Bytes that fail to parse or authenticate are `BadPacket`: dropped and
counted. What a socket would raise is an `OSError` here too, so code written for sockets keeps working, and
every timeout is a `TimeoutError`.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum


class Code(IntEnum):
    """Transport error codes carried by CLOSE (spec section 12). Below 0x40; applications use their own space."""

    NO_ERROR = 0x00
    INTERNAL = 0x01
    REFUSED = 0x02
    FLOW_CONTROL = 0x03
    STREAM_LIMIT = 0x04
    STREAM_STATE = 0x05
    FINAL_SIZE = 0x06
    FRAME_ENCODING = 0x07
    PARAMETER = 0x08
    CONNECTION_ID_LIMIT = 0x09
    PROTOCOL_VIOLATION = 0x0A
    INVALID_TOKEN = 0x0B
    CRYPTO_BUFFER_EXCEEDED = 0x0D
    KEY_UPDATE = 0x0E
    AEAD_LIMIT = 0x0F
    NO_VIABLE_PATH = 0x10
    MESSAGE_LIMIT = 0x11
    EXCESSIVE_LOAD = 0x12
    IDLE = 0x13
    BUSY = 0x14
    CODING = 0x15
    # Handshake failures. Until the peer has proven who it is, few are sent (spec section 5.10).
    VERSION = 0x20
    DECODE = 0x21
    ILLEGAL_PARAMETER = 0x22
    CRYPTO = 0x23
    UNEXPECTED_MESSAGE = 0x24
    DECRYPT = 0x25
    BAD_PROOF = 0x26
    BAD_IDENTITY = 0x27
    ACCESS_DENIED = 0x28
    NO_PROTOCOL = 0x29
    IDENTITY_REQUIRED = 0x2A
    DOWNGRADE = 0x2B
    HANDSHAKE_TIMEOUT = 0x2C
    UNKNOWN_PEER = 0x2D


def code_name(code: int) -> str:
    """The name of a transport error code, or its number when it has none."""
    try:
        return Code(code).name
    except ValueError:
        return f"code {code:#x}"


def escaped(text: str, kept: str = "") -> str:
    """`text` for a terminal or a log, where others chose the words: what does not print is escaped, unless `kept`."""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


class Error(Exception):
    """Root of the project's own exceptions."""


class BadPacket(Error):
    """Bytes from the network that cannot be what they claim to be. Parsers raise this and nothing else."""


class ProtocolViolation(Error):
    """The peer broke a rule; the connection closes with `code`.

    Attributes:
        code: wire error code.
        reason: what happened, for people; sent to the peer only once it is authenticated.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code_name(code)}: {reason}")
        self.code = int(code)
        self.reason = reason


class LocalError(Error, ValueError):
    """A call that makes no sense here: wrong argument, wrong order, wrong state."""


class AddressError(LocalError):
    """A text that is not an address or a peer id; says which part is wrong."""


class IdentityError(LocalError):
    """An identity or key file that cannot be used: damaged, readable by others, or not ours."""


class ForkedConnection(Error, RuntimeError):
    """A forked child touched its parent's connection. Sealing there would reuse nonces (spec section 7.6)."""


class WrongHub(Error, RuntimeError):
    """A connection was used from another thread than the one that made it."""


class _SocketError(Error, OSError):
    """An `OSError` with the errno that socket code looks for."""

    errno_ = errno.EIO

    def __init__(self, message: str = "") -> None:
        OSError.__init__(self, self.errno_, message or os.strerror(self.errno_))

    def __str__(self) -> str:
        return str(self.strerror)


class Timeout(_SocketError, TimeoutError):
    """The time given to a call ran out. Nothing is lost, and the call can be made again.

    `Stream.sendall` is the exception: some of its data was sent by then, or will be, and nobody knows how much.
    """

    errno_ = errno.ETIMEDOUT


class ConnectionClosed(_SocketError, ConnectionError):
    """The connection is over.

    Attributes:
        code: transport or application error code.
        reason: the closing side's words, at most 64 bytes of them, whatever they are; the message has them escaped.
        by_peer: whether the peer closed.
        application: whether `code` belongs to the application.
    """

    errno_ = errno.ECONNABORTED

    def __init__(
        self, message: str, code: int = 0, reason: str = "", by_peer: bool = False, application: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.by_peer = by_peer
        self.application = application


class ConnectionLost(ConnectionClosed, TimeoutError):
    """Nothing was heard from the peer for the idle timeout."""

    errno_ = errno.ETIMEDOUT


class ConnectFailed(ConnectionClosed):
    """The connection could not be made."""


class ConnectTimeout(ConnectFailed, TimeoutError):
    """No answer came within the time given to `connect`."""

    errno_ = errno.ETIMEDOUT


class ConnectRefused(ConnectFailed, ConnectionRefusedError):
    """The server answered, and does not take this connection."""

    errno_ = errno.ECONNREFUSED


class AccessDenied(ConnectFailed, PermissionError):
    """The server takes other peers but not this one: it wants an access key or an identity that it knows."""

    errno_ = errno.EACCES


class UnknownPeer(ConnectFailed, PermissionError):
    """The peer proved an identity that the trust policy does not accept."""

    errno_ = errno.EACCES


class PathFailed(_SocketError):
    """No path to the peer could be opened there. The connection goes on as before."""

    errno_ = errno.EHOSTUNREACH


class StreamReset(_SocketError, ConnectionResetError):
    """The peer abandoned its sending side of the stream with `error_code`."""

    errno_ = errno.ECONNRESET

    def __init__(self, message: str, error_code: int = 0) -> None:
        super().__init__(message)
        self.error_code = error_code


class StreamStopped(_SocketError, BrokenPipeError):
    """The peer no longer reads this stream, or it was shut down for writing here."""

    errno_ = errno.EPIPE

    def __init__(self, message: str, error_code: int = 0) -> None:
        super().__init__(message)
        self.error_code = error_code


class StreamClosed(_SocketError):
    """The stream was closed on this side."""

    errno_ = errno.EBADF


class MessageTooLarge(_SocketError):
    """A message larger than the peer takes (`Config.max_message` there)."""

    errno_ = errno.EMSGSIZE

"""JetStreamProto: a secure UDP transport for blocking-style code, over gevent.

A handler class in plain blocking style serves thousands of peers on one port; connections carry streams that pass
for sockets and messages in three delivery modes, and stay alive when addresses change. README.md has the first
ten lines; docs/ has the rest.
"""

from typing import TYPE_CHECKING

from jsp import compiled as compiled  # first: it decides which modules the next lines find
from jsp.config import Compression, Config
from jsp.crypto.identity import Identity, PeerId
from jsp.engine.message import Message
from jsp.engine.modes import BEST_EFFORT, RELIABLE, PartiallyReliable
from jsp.errors import (
    AccessDenied,
    AddressError,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    Error,
    ForkedConnection,
    IdentityError,
    LocalError,
    MessageTooLarge,
    PathFailed,
    StreamClosed,
    StreamReset,
    StreamStopped,
    Timeout,
    UnknownPeer,
    WrongHub,
)
from jsp.net.client import connect
from jsp.net.connection import Connection
from jsp.net.handler import Handler
from jsp.net.receipt import Receipt
from jsp.net.report import ConnectionStats, PathInfo
from jsp.net.server import Server, StreamServer
from jsp.net.stream import SHUT_RD, SHUT_RDWR, SHUT_WR, Stream
from jsp.net.trust import Trust
from jsp.recovery.controller import AckSample, Controller
from jsp.wire.address import Address

if TYPE_CHECKING:
    from jsp import rpc as rpc
    from jsp import transfer as transfer
else:

    def __getattr__(name: str) -> object:
        # Imported on first use: who needs only connections should not wait for the rest.
        if name in ("rpc", "transfer"):
            from importlib import import_module

            return import_module(f"jsp.{name}")
        raise AttributeError(f"module 'jsp' has no attribute {name!r}")


__version__ = "0.1.0"

__all__ = [
    "BEST_EFFORT",
    "RELIABLE",
    "SHUT_RD",
    "SHUT_RDWR",
    "SHUT_WR",
    "AccessDenied",
    "AckSample",
    "Address",
    "AddressError",
    "Compression",
    "Config",
    "ConnectFailed",
    "ConnectRefused",
    "ConnectTimeout",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "ConnectionStats",
    "Controller",
    "Error",
    "ForkedConnection",
    "Handler",
    "Identity",
    "IdentityError",
    "LocalError",
    "Message",
    "MessageTooLarge",
    "PartiallyReliable",
    "PathFailed",
    "PathInfo",
    "PeerId",
    "Receipt",
    "Server",
    "Stream",
    "StreamClosed",
    "StreamReset",
    "StreamServer",
    "StreamStopped",
    "Timeout",
    "Trust",
    "UnknownPeer",
    "WrongHub",
    "connect",
]

"""How a connection ended, as an exception with a sentence that says what to do."""

from __future__ import annotations

from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed
from jsp.errors import (
    AccessDenied,
    Code,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    UnknownPeer,
    code_name,
    escaped,
)

_MEANING = {
    Code.REFUSED: "the server takes no more connections",
    Code.BUSY: "the server has as many connections as it takes; try again later",
    Code.VERSION: "client and server have no protocol version, cipher, key exchange or application protocol in common",
    Code.ACCESS_DENIED: "the server wants an access key: use the address it printed, with the key in it (or JSP_KEY)",
    Code.IDENTITY_REQUIRED: "the server wants to know who we are: pass an identity that it has been told of",
    Code.UNKNOWN_PEER: "the peer does not know our identity: it must be told our peer id first",
    Code.HANDSHAKE_TIMEOUT: "the peer did not answer in time",
    Code.DOWNGRADE: "somebody on the way tried to weaken the handshake",
    Code.BAD_PROOF: "the peer could not prove its identity",
}
_REFUSED = (Code.REFUSED, Code.BUSY)
_DENIED = (Code.ACCESS_DENIED, Code.IDENTITY_REQUIRED)


def closed_error(core: ConnectionCore, refusal: str = "") -> ConnectionClosed:
    """The error for calls on a connection that is over or being closed."""
    closed = core.lifecycle.closed
    if closed is None:
        return ConnectionClosed("the connection is being closed")
    made = core.peer_id is not None or core.confirmed
    kind, text = _describe(closed, made)
    return kind(refusal or text, closed.code, closed.reason, closed.by_peer, closed.application)


def _describe(closed: Closed, made: bool) -> tuple[type[ConnectionClosed], str]:
    who = "the peer" if closed.by_peer else "this side"
    reason = escaped(closed.reason)
    if closed.application:
        words = f": {reason}" if reason else ""
        return ConnectionClosed, f"the connection was closed by {who} (code {closed.code}){words}"
    code = closed.code
    meaning = _MEANING.get(Code(code)) if code in Code._value2member_map_ else None
    text = meaning or reason or code_name(code)
    if code == Code.IDLE:
        return ConnectionLost, reason
    if code in _DENIED or (code == Code.UNKNOWN_PEER and closed.by_peer):
        return AccessDenied, text
    if code == Code.UNKNOWN_PEER:
        return UnknownPeer, reason
    if code in _REFUSED:
        return ConnectRefused, text
    if code == Code.HANDSHAKE_TIMEOUT:
        return ConnectTimeout, text
    if made:
        return ConnectionClosed, f"the connection was closed by {who}: {text}"
    return ConnectFailed, f"the handshake failed ({code_name(code)}): {text}"

"""Asks a trust policy about a peer, off the hub when the policy reads files."""

from __future__ import annotations

import logging

import gevent
from gevent import get_hub

from jsp.crypto.credentials import Presented
from jsp.errors import Code, LocalError, ProtocolViolation
from jsp.net.connection import Connection
from jsp.net.trust import Trust

log = logging.getLogger("jsp")


def judge(connection: Connection, presented: Presented, trust: Trust, where: str) -> None:
    """Answer `PeerPresented` for `connection` by `trust`; `where` is host:port as the user wrote it."""
    if trust.slow:
        gevent.spawn(_judge_slowly, connection, presented, trust, where)
    else:
        _answer(connection, _verdict(trust, presented, where))


def _verdict(trust: Trust, presented: Presented, where: str) -> ProtocolViolation | None:
    try:
        trust.judge(presented, where)
    except ProtocolViolation as refusal:
        if refusal.code in Code._value2member_map_:
            return refusal
        return ProtocolViolation(Code.UNKNOWN_PEER, refusal.reason)
    except (OSError, LocalError) as error:
        # A policy that cannot be read lets nobody in.
        log.error("trust policy %s: %s", trust.name, error)
        return ProtocolViolation(Code.UNKNOWN_PEER, f"the trust policy could not be asked: {error}")
    except Exception:
        # Nor does one with a mistake in it, which must not be the mistake of whoever reads the socket.
        log.exception("trust policy %s failed", trust.name)
        return ProtocolViolation(Code.UNKNOWN_PEER, "the trust policy failed")
    return None


def _judge_slowly(connection: Connection, presented: Presented, trust: Trust, where: str) -> None:
    refusal = get_hub().threadpool.apply(_verdict, (trust, presented, where))
    _answer(connection, refusal)


def _answer(connection: Connection, refusal: ProtocolViolation | None) -> None:
    if connection.closed:
        return
    if refusal is None:
        connection.accept_peer()
    else:
        log.info("refused a peer at %s: %s", connection.remote_address[0], refusal.reason)
        connection.refuse_peer(refusal)

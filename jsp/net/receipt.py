# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What became of a message that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsp.engine.out_message as out
from jsp.engine.out_message import OutMessage
from jsp.net.waiting import Signal

if TYPE_CHECKING:
    from jsp.net.connection import Connection

_PENDING = out.PENDING
_LOST = out.LOST
_OUTCOMES = out.OUTCOMES


class Receipt:
    """Returned by `Connection.send`; may be dropped unread.

    A receipt is settled once and does not change then. Only "delivered" is certain: who hears no answer cannot
    know whether it was the message or the answer that was lost.
    """

    __slots__ = ("_connection", "_message")

    _connection: Connection
    _message: OutMessage

    def __repr__(self) -> str:
        return f"<jsp.Receipt {self.status}>"

    @property
    def status(self) -> str:
        """One of

        * "pending": queued, or under way.
        * "delivered": all of it reached the peer. (A best-effort message may still be dropped there, when the
          application is slow to read.)
        * "expired": its `ttl` passed first.
        * "lost": it was lost more often than it may be sent again, or the connection ended first.
        * "replaced": a newer message with the same key took its place.
        """
        outcome = self._message.outcome
        if outcome == _PENDING and self._connection._core.is_closed():
            outcome = _LOST
        return _OUTCOMES[outcome]

    def wait(self, timeout: float | None = None) -> str:
        """Wait until the receipt is settled; its status. Raises Timeout after `timeout` seconds."""
        connection = self._connection
        message = self._message
        connection.check_hub()
        deadline = connection.deadline(timeout)
        while message.outcome == _PENDING and not connection._core.is_closed():
            if message.watcher is None:
                core = connection.core
                core.send_messages.watch(message, Signal())
                core.hurry_answer()
                connection.changed()
            connection.wait_for(message.watcher, deadline, "it is not known yet what became of the message")
        return self.status


def make_receipt(connection: Connection, message: OutMessage) -> Receipt:
    """The receipt of `message`. (Not a constructor, which would cost as much as all the rest of sending one.)"""
    receipt = Receipt.__new__(Receipt)
    receipt._connection = connection
    receipt._message = message
    return receipt

"""How a transfer fails as a whole. What goes wrong with one file is no exception but a `Problem` in the report.

Errors of the connection (`jsp.ConnectionClosed` and its kin) and of the local file system (`OSError`) pass through
unchanged; these are the ones that only a transfer has.
"""

# ruff: noqa: N818 - named as those in jsp/errors.py are

from __future__ import annotations

from jsp.errors import Error


class TransferError(Error):
    """The transfer cannot go on; the text says why, for people."""


class BadFrame(TransferError):
    """The peer broke the rules of the transfer protocol."""


class DiskFull(TransferError):
    """There is no room for what arrives. What is there is kept, so that the same transfer can be resumed."""


class PeerGaveUp(TransferError):
    """The other side ended the transfer; the text has its words."""

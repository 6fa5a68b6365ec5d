"""Copying trees of files over a connection: resumable, verified end to end, confined to one directory.

    with jsp.connect(address) as conn:
        jsp.transfer.push(conn, "photos/", "backup/photos/", progress=lambda report: print(report.bytes_sent))
        jsp.transfer.pull(conn, "backup/photos/2026/", "here/")

    jsp.Server(("0.0.0.0", 4433), jsp.transfer.handler("/srv/files"), identity=me, trust=trust).serve_forever()

Both ends may set `keep_alive` in their `Config`: hashing what is there of a huge file takes longer than the idle
timeout. The bundled program is `jsp-sync` (`jsp.apps.filesync`).

`session.py` is where to begin reading, `frames.py` has the protocol; `sender.py` and `receiver.py` are its two sides,
`walk.py`, `reading.py`, `deciding.py` and `storing.py` what they do on the disk.
"""

from jsp.transfer.errors import BadFrame, DiskFull, PeerGaveUp, TransferError
from jsp.transfer.names import display
from jsp.transfer.report import Problem, Progress, Report
from jsp.transfer.session import PROTOCOL, Served, handler, pull, push, serve

__all__ = [
    "PROTOCOL",
    "BadFrame",
    "DiskFull",
    "PeerGaveUp",
    "Problem",
    "Progress",
    "Report",
    "Served",
    "TransferError",
    "display",
    "handler",
    "pull",
    "push",
    "serve",
]

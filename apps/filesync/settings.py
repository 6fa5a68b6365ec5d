"""How both ends of `jsp-sync` set up their connections."""

from __future__ import annotations

import jsp
import jsp.transfer

# Hashing what is there of a huge file, or a disk that takes its time, must not look like a peer that has gone.
_KEEP_ALIVE = 10.0

CONFIG = jsp.Config(protocols=(jsp.transfer.PROTOCOL,), keep_alive=_KEEP_ALIVE)

"""Which worker a packet belongs to, when several processes serve one port (spec section 4.3).

One rule for every packet: the first byte of its destination connection id, modulo the number of workers. Ids that a
worker gives out are made to fit the rule; those that clients choose for their first packets are random, so handshakes
spread, and all packets of one handshake go to one worker whatever address they come from.
"""

from __future__ import annotations

from collections.abc import Callable

from jsp.engine.traffic import Received

# The rule reads one byte.
WORKERS_MAX = 256


class Share:
    """One worker's part of a port.

    Args:
        worker: its number, from 0.
        workers: how many there are, at most `WORKERS_MAX`.
        pass_on: called with a worker's number, a batch of its datagrams that came here, and what is known of it.
    """

    __slots__ = ("_worker", "_workers", "pass_on")

    def __init__(self, worker: int, workers: int, pass_on: Callable[[int, bytes, Received], None]) -> None:
        self._worker = worker
        self._workers = workers
        self.pass_on = pass_on

    def mark(self, cid: bytes) -> bytes:
        """A random id made ours, as random as before otherwise; b"": draw another one."""
        base = cid[0] - cid[0] % self._workers
        if base + self._workers > 256:
            # The last values of a byte are too few for all workers; with them the first byte would not be uniform.
            return b""
        return bytes((base + self._worker,)) + cid[1:]

    def owner(self, cid: bytes) -> int | None:
        """The other worker that packets to `cid` belong to; None: they are ours."""
        worker = cid[0] % self._workers if cid else self._worker
        return worker if worker != self._worker else None

"""Who may start a handshake now: bounds on half-open connections and on rates (spec section 4.7).

Nothing here grows with the number of addresses seen: half-open handshakes are capped, and rates live in a table
of fixed size. When the cap is reached the oldest handshake whose address is not proven makes room, so that a flood
from addresses that do not answer shortens the time there is for a handshake instead of keeping everybody out.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

from jsp.config import LIMITS, Config
from jsp.engine.bucket import TokenBucket
from jsp.engine.traffic import Endpoint

_SLOTS = 4096
_BURST_S = 2.0


def prefix_of(address: Endpoint) -> bytes:
    """The part of an address that one person holds: all of an IPv4 address, 56 bits of an IPv6 one."""
    return _prefix_of_host(str(address[0]))


@lru_cache(1024)  # each is asked for twice a handshake, and the next one often comes from there too
def _prefix_of_host(host: str) -> bytes:
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.encode()
    if ip.version == 6 and ip.ipv4_mapped is not None:
        # An IPv4 client on a socket for both families.
        return ip.ipv4_mapped.packed
    return ip.packed if ip.version == 4 else ip.packed[:7]


class Admission:
    """Attributes:
    refused: Initial packets that were not admitted.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._half_open: dict[Any, bytes] = {}
        self._strangers: dict[Any, None] = {}
        self._by_prefix: dict[bytes, int] = {}
        self._rates: dict[int, TokenBucket] = {}
        self.refused = 0

    def admit(self, remote: Endpoint, now: float) -> bool:
        """Whether a handshake with `remote` may start."""
        prefix = prefix_of(remote)
        full = len(self._half_open) >= self._config.max_half_open and not self._strangers
        crowded = self._by_prefix.get(prefix, 0) >= LIMITS.half_open_per_prefix
        if full or crowded or not self._within_rate(prefix, now):
            self.refused += 1
            return False
        return True

    def _within_rate(self, prefix: bytes, now: float) -> bool:
        rate = self._config.rate_limit
        if rate is None:
            return True
        slot = hash(prefix) % _SLOTS
        bucket = self._rates.get(slot)
        if bucket is None:
            bucket = self._rates[slot] = TokenBucket(rate, max(1.0, rate * _BURST_S))
        return bucket.take(now)

    def on_handshake_started(self, connection: object, remote: Endpoint) -> None:
        """A half-open connection exists."""
        prefix = prefix_of(remote)
        self._half_open[connection] = prefix
        self._strangers[connection] = None
        self._by_prefix[prefix] = self._by_prefix.get(prefix, 0) + 1

    def surplus(self) -> Any | None:
        """The half-open connection that has to go for the last one that started, or None."""
        if len(self._half_open) <= self._config.max_half_open:
            return None
        return next(iter(self._strangers), None)

    def on_address_proven(self, connection: object) -> None:
        """Its peer receives where it says it is."""
        self._strangers.pop(connection, None)

    def on_handshake_over(self, connection: object) -> None:
        """It is open, or gone."""
        self._strangers.pop(connection, None)
        prefix = self._half_open.pop(connection, None)
        if prefix is None:
            return
        left = self._by_prefix[prefix] - 1
        if left:
            self._by_prefix[prefix] = left
        else:
            del self._by_prefix[prefix]

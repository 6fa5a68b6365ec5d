"""A client with two ways out, Wi-Fi and LTE, each over a link of its own to one server; all of it may change under way.

                     wifi (10.77.0.1, fd4d:4d::1) ===== emulated link =====
    host `client`  <                                                       >  host `server` (203.0.113.1, 2001:db8::1)
                     lte  (10.78.0.1, fd4d:4e::1) ===== emulated link =====

Both interfaces have a default route; the kernel uses that of the preferred one. There is no routing by source address,
as there is none on most hosts: who wants to leave by the other interface has to name it, and a link carries nothing
that comes from the other's addresses (BCP 38). NATs, black holes, UDP that is blocked, and a path MTU that nobody
tells of, are the emulator's.

Needs iproute2 (`ip`) beside what any lab needs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection
from functools import cache

from tests.netlab import lab
from tests.netlab.emulator import Direction, Emulator

FAMILIES = (4, 6)
WAYS = {"wifi": 77, "lte": 78}
PREFIX = {4: 24, 6: 64}
# 40 ms and 60 ms, with queues of one bandwidth-delay product.
WIFI = Direction(delay=20, rate=10e6, queue_bytes=50_000)
LTE = Direction(delay=30, rate=10e6, queue_bytes=75_000)
# The preferred interface, and the other.
_METRICS = (100, 600)


@cache
def why_not() -> str | None:
    """Why there can be no such lab here; None when there can."""
    return lab.why_not() or (None if shutil.which("ip") else "there is no iproute2 (ip)")


def client_address(way: str, family: int = 4, number: int = 1) -> str:
    """An address of the client on the link `way`; `number` 1 is the one that it has to begin with."""
    return f"10.{WAYS[way]}.0.{number}" if family == 4 else f"fd4d:{WAYS[way]:x}::{number}"


def server_address(family: int = 4, number: int = 1) -> str:
    """An address of the server; `number` 1 is the one that it has to begin with."""
    return f"203.0.113.{number}" if family == 4 else f"2001:db8::{number}"


class Mobile(lab.Hosts):
    """Use it in a `with` block.

    Args:
        wifi, lte: what the links do to packets, in either direction.
        families: the address families that either link has to begin with; an empty one: the interface is down.
        server: those of the server.
        seed: of all chance.

    Attributes:
        links: "wifi" and "lte" -> the emulators; their side a is the client.
        preferred: the interface that the client's default routes point to first.
    """

    def __init__(
        self,
        wifi: Direction,
        lte: Direction,
        *,
        families: dict[str, Collection[int]] | None = None,
        server: Collection[int] = FAMILIES,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.namespaces = {}
        self.links: dict[str, Emulator] = {}
        self.preferred = "wifi"
        try:
            for host in ("client", "server"):
                self.namespaces[host] = lab.new_namespace()
                self._set_up(host)
            for way, both in (("wifi", wifi), ("lte", lte)):
                made = Emulator(seed, name=way, between=(self.path("client"), self.path("server")))
                self.links[way] = made
                for side in ("ab", "ba"):
                    made.set(side, *both.words())
                made.set("ab", f"network={WAYS[way]}")
                for family in FAMILIES:
                    self.ip("server", "route", "add", f"{client_address(way, family, 0)}/{PREFIX[family]}", "dev", way)
            self.set_server(*((family, 1) for family in server))
            for way in WAYS:
                have = (families or {}).get(way, FAMILIES)
                if have:
                    self.up(way, have)
                else:
                    self.down(way)
        except BaseException:
            self.close()
            raise

    def _set_up(self, host: str) -> None:
        with self.inside(host):
            # Answers may come by another interface than the one that leads to where they are from.
            for name in ("all", "default"):
                with open(f"/proc/sys/net/ipv4/conf/{name}/rp_filter", "w") as file:
                    file.write("0")

    def _give(self, host: str, address: str, length: int, device: str) -> None:
        six = ":" in address
        self.ip(host, "addr", "add", f"{address}/{length}", "dev", device, *(["nodad"] if six else []))
        # The kernel takes an IPv6 address into use when it comes to it.
        while six and not self.ip(host, "-6", "route", "show", "table", "local", address):
            time.sleep(0.001)

    # --- the client's interfaces ---------------------------------------------------------------------------

    def down(self, way: str) -> None:
        """The interface is gone, with its addresses and routes."""
        self.ip("client", "link", "set", way, "down")
        self.ip("client", "addr", "flush", "dev", way)

    def up(self, way: str, families: Collection[int] = FAMILIES) -> None:
        """The interface is there (again), with addresses and default routes of `families`."""
        self.ip("client", "link", "set", way, "up")
        for family in families:
            self.add_address(way, family)

    def add_address(self, way: str, family: int = 4, number: int = 1) -> None:
        """One more address, and the default route if that was missing."""
        self._give("client", client_address(way, family, number), PREFIX[family], way)
        self._route(way, family)

    def remove_address(self, way: str, family: int = 4, number: int = 1) -> None:
        """One address less; the default route stays."""
        self.ip("client", "addr", "del", f"{client_address(way, family, number)}/{PREFIX[family]}", "dev", way)

    def prefer(self, way: str) -> None:
        """Let the default routes point to `way` first. Addresses stay as they are."""
        self.preferred = way
        had = []
        for each in WAYS:
            for family in FAMILIES:
                try:
                    self.ip("client", f"-{family}", "route", "del", "default", "dev", each)
                except OSError:
                    continue
                had.append((each, family))
        for each, family in had:
            self._route(each, family)

    def _route(self, way: str, family: int) -> None:
        metric = _METRICS[way != self.preferred]
        self.ip("client", f"-{family}", "route", "replace", "default", "dev", way, "metric", str(metric))

    # --- the server ------------------------------------------------------------------------------------------

    def set_server(self, *addresses: tuple[int, int]) -> None:
        """Let the server have these addresses (family, number) and no others."""
        self.ip("server", "addr", "flush", "dev", "lo", "scope", "global")
        for family, number in addresses:
            self._give("server", server_address(family, number), 32 if family == 4 else 128, "lo")

    def close(self) -> None:
        """End all programs and links; the namespaces go with the last of them."""
        super().close()
        for link in self.links.values():
            link.close()
        for namespace in self.namespaces.values():
            os.close(namespace)
        self.namespaces.clear()

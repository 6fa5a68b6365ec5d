"""Two hosts, `a` and `b`, and a router between them, all of them the kernel's.

What the router's link to `b` takes can change, and whether the router tells by ICMP that something was larger.

Needs iproute2 (`ip`) and devices of the kind veth.
"""

from __future__ import annotations

import os
from functools import cache

from tests.netlab import lab

HOSTS = {"a": "10.79.1.2", "b": "10.79.2.2"}


@cache
def why_not() -> str | None:
    """Why there can be none here; None when there can."""
    reason = lab.why_not()
    if reason is None:
        try:
            Routed().close()
        except OSError as error:
            return str(error)
    return reason


class Routed(lab.Hosts):
    """Use it in a `with` block. Links take `mtu` bytes of an IP packet."""

    def __init__(self, mtu: int = 1500) -> None:
        super().__init__()
        self.namespaces = {}
        try:
            for host in ("a", "router", "b"):
                self.namespaces[host] = lab.new_namespace()
            for host, net in (("a", 1), ("b", 2)):
                near = ["link", "add", f"to-{host}", "mtu", str(mtu), "type", "veth"]
                self.ip("router", *near, "peer", "name", "eth0", "mtu", str(mtu), "netns", self.path(host))
                self.ip("router", "address", "add", f"10.79.{net}.1/24", "dev", f"to-{host}")
                self.ip("router", "link", "set", f"to-{host}", "up")
                self.ip(host, "address", "add", f"{HOSTS[host]}/24", "dev", "eth0")
                self.ip(host, "link", "set", "eth0", "up")
                self.ip(host, "route", "add", "default", "via", f"10.79.{net}.1")
            with self.inside("router"), open("/proc/sys/net/ipv4/ip_forward", "w") as file:
                file.write("1")
        except BaseException:
            self.close()
            raise

    def narrow(self, mtu: int) -> None:
        """From now on no packet of more than `mtu` bytes passes from the router to b."""
        self.ip("router", "link", "set", "to-b", "mtu", str(mtu))

    def narrow_own(self, mtu: int) -> None:
        """From now on a itself can send no packet of more than `mtu` bytes."""
        self.ip("a", "link", "set", "eth0", "mtu", str(mtu))

    def silence(self) -> None:
        """The router passes on as ever, and tells nobody anything any more."""
        self.ip("router", "rule", "add", "iif", "lo", "blackhole")

    def close(self) -> None:
        """End all programs; the namespaces go with them."""
        super().close()
        for namespace in self.namespaces.values():
            os.close(namespace)
        self.namespaces.clear()

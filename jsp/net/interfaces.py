"""The addresses of this machine: which there are, and a bell that rings when they may have changed.

On Linux the kernel tells (NETLINK_ROUTE): of links, addresses and routes of either family. What it says is not read,
for what matters is how things are once they are quiet, and who hears the bell looks for itself. Elsewhere, and where a
sandbox allows no netlink, the address that packets to the peer leave from is looked at every two seconds.

There is one bell a hub, for all who listen; it is there while somebody does, and keeps no program from ending.
"""

from __future__ import annotations

import errno
import logging
import os
import socket as stdlib_socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gevent import get_hub
from gevent.hub import Hub

from jsp.engine.traffic import Endpoint
from jsp.net.udp import AF_INET, AF_INET6, family_of, new_socket, outward_host
from jsp.net.waiting import end_watcher

log = logging.getLogger("jsp")

# Seconds from the first word of a change to the bell: one change is many messages.
_QUIET_S = 0.05
_LOOK_EVERY_S = 2.0
# Messages taken before others have a turn.
_MESSAGES_AT_ONCE = 100

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if.h
_AF_NETLINK = 16
_NETLINK_ROUTE = 0
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_REQUEST_DUMP = 0x1 | 0x300
_ERROR, _DONE = 2, 3
_GET_LINK, _NEW_LINK = 18, 16
_GET_ADDRESS, _NEW_ADDRESS = 22, 20
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_NOT_USABLE = 0x08 | 0x20 | 0x40  # IFA_F_DADFAILED, _DEPRECATED, _TENTATIVE
_UP_AND_RUNNING = 0x1 | 0x40
_LOOPBACK = 0x8
_SCOPE_GLOBAL, _SCOPE_HOST = 0, 254

_MESSAGE = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVED_MAX = 65536
# Longer than any dump takes; a kernel that owes us the rest must not hold up the program.
_DUMP_TIMEOUT_S = 1.0


# --- which addresses there are ---------------------------------------------------------------------------------


def addresses(loopback: bool = False) -> dict[str, int]:
    """Addresses that sockets of this machine can use for the world outside, with the index of their interface.

    Those of interfaces that are up and have a carrier, of global scope, neither deprecated nor still being checked;
    and the loopback ones if wanted. Empty where the system does not tell: on others than Linux, and in some sandboxes.
    """
    if not sys.platform.startswith("linux"):
        return {}
    try:
        with new_socket(_AF_NETLINK, stdlib_socket.SOCK_RAW) as socket:
            socket.settimeout(_DUMP_TIMEOUT_S)
            usable = set(_usable_links(socket, loopback))
            return {host: index for host, index in _usable_addresses(socket, loopback) if index in usable}
    except OSError:
        return {}


def index_for(host: str, remote: Endpoint) -> int:
    """Index of the interface that packets from `host` must be made to leave by, for `remote` to get them.

    Routes are chosen by where packets go: what has the address of one interface would leave by another one that is
    preferred, and be dropped as forged. 0: it leaves by its own, or not at all, or `host` is no interface's.
    """
    chosen = _source(remote)
    return 0 if chosen in (host, remote[0]) else addresses().get(host, 0)


def _usable_links(socket: Any, loopback: bool) -> Iterator[int]:
    for body in _dump(socket, _GET_LINK, _NEW_LINK, _LINK):
        _, _, index, flags, _ = _LINK.unpack_from(body)
        if flags & _UP_AND_RUNNING == _UP_AND_RUNNING and (loopback or not flags & _LOOPBACK):
            yield index


def _usable_addresses(socket: Any, loopback: bool) -> Iterator[tuple[str, int]]:
    for body in _dump(socket, _GET_ADDRESS, _NEW_ADDRESS, _ADDRESS):
        family, _, flags, scope, index = _ADDRESS.unpack_from(body)
        attributes = dict(_attributes(body[_ADDRESS.size :]))
        if _IFA_FLAGS in attributes:
            flags = int.from_bytes(attributes[_IFA_FLAGS], sys.byteorder)
        # Of a link between two points the other one is the "address".
        packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        wanted = scope == _SCOPE_GLOBAL or (loopback and scope == _SCOPE_HOST)
        if packed and wanted and family in (AF_INET, AF_INET6) and not flags & _NOT_USABLE:
            yield stdlib_socket.inet_ntop(family, packed), index


def _dump(socket: Any, request: int, answer: int, header: struct.Struct) -> Iterator[bytes]:
    """The bodies of all messages of kind `answer` that `request` brings."""
    family = bytes(header.size)
    socket.sendto(_MESSAGE.pack(_MESSAGE.size + len(family), request, _REQUEST_DUMP, request, 0) + family, (0, 0))
    while True:
        for kind, sequence, body in _messages(socket.recv(_RECEIVED_MAX)):
            if sequence != request:
                continue
            if kind == _ERROR:
                raise OSError(errno.EPROTO, "the kernel does not list its interfaces")
            if kind == _DONE:
                return
            if kind == answer and len(body) >= header.size:
                yield body


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, sequence number and body of each message in `data`."""
    while len(data) >= _MESSAGE.size:
        length, kind, _, sequence, _ = _MESSAGE.unpack_from(data)
        if not _MESSAGE.size <= length <= len(data):
            return
        yield kind, sequence, data[_MESSAGE.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


# --- when they change ------------------------------------------------------------------------------------------


class Watch:
    """Has `callback` called, in the hub, whenever the machine's addresses, links or routes may have changed.

    It must not block, and must expect to find everything as it was.

    Args:
        callback: see above.
        remote: where the listener's packets go: looked at where the system does not tell of changes.
    """

    __slots__ = ("_bell", "callback", "remote")

    def __init__(self, callback: Callable[[], None], remote: Endpoint) -> None:
        self.callback = callback
        self.remote = remote
        hub = get_hub()
        bell = _bells.get(hub)
        if bell is None:
            bell = _bells[hub] = _Bell(hub)
        self._bell = bell
        bell.add(self)

    def stop(self) -> None:
        """Call nobody any more. Harmless when stopped."""
        self._bell.remove(self)


class _Bell:
    """The one bell of a hub."""

    __slots__ = ("_hub", "_reader", "_socket", "_sources", "_timer", "_watches")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._watches: dict[Watch, None] = {}
        self._socket: Any = None
        self._reader: Any = None
        self._timer: Any = None
        # Where packets to each remote address left from, when that was looked at last.
        self._sources: dict[Endpoint, str] = {}

    def add(self, watch: Watch) -> None:
        """One more listener; the first one starts the bell."""
        self._watches[watch] = None
        if len(self._watches) == 1:
            self._start()
        if self._socket is None:
            self._sources.setdefault(watch.remote, _source(watch.remote))

    def remove(self, watch: Watch) -> None:
        """One listener less; the last one stops the bell."""
        if watch in self._watches:
            del self._watches[watch]
            if not self._watches:
                self._stop()

    def _start(self) -> None:
        try:
            self._socket = _subscribed()
        except OSError:
            self._arm(_LOOK_EVERY_S, self._look)
            return
        self._reader = self._hub.loop.io(self._socket.fileno(), 1, ref=False)
        self._reader.start(self._on_message)

    def _stop(self) -> None:
        del _bells[self._hub]
        self._disarm()
        if self._reader is not None:
            self._reader.stop()
            self._reader.close()
            self._socket.close()

    def leave_to_parent(self) -> None:
        """In a forked child, whose loop must not read its parent's messages."""
        self._watches.clear()
        if self._timer is not None:
            self._timer.stop()
        if self._reader is not None:
            self._reader.stop()
            self._socket.close()

    def _arm(self, delay: float, action: Callable[[], None]) -> None:
        self._timer = self._hub.loop.timer(delay, ref=False)
        self._timer.start(action, update=True)

    def _disarm(self) -> None:
        end_watcher(self._timer)
        self._timer = None

    def _on_message(self) -> None:
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                # The rest of a message is dropped by the kernel.
                self._socket.recv(1)
            except OSError:
                # That was all; or ENOBUFS, more than there was room for, which is a change as well.
                break
        if self._timer is None:
            self._arm(_QUIET_S, self._ring)

    def _ring(self) -> None:
        self._disarm()
        self._call(list(self._watches))

    def _look(self) -> None:
        """Look for changes where nobody tells of them."""
        before, self._sources = self._sources, {}
        for watch in self._watches:
            if watch.remote not in self._sources:
                self._sources[watch.remote] = _source(watch.remote)
        self._disarm()
        self._arm(_LOOK_EVERY_S, self._look)
        self._call([watch for watch in self._watches if self._sources[watch.remote] != before[watch.remote]])

    def _call(self, watches: list[Watch]) -> None:
        for watch in watches:
            # One before may have stopped it.
            if watch in self._watches:
                try:
                    watch.callback()
                except Exception:
                    log.exception("internal error: a change of addresses was not taken in")


_bells: dict[Hub, _Bell] = {}


def _leave_all_to_parent() -> None:
    for bell in _bells.values():
        bell.leave_to_parent()
    _bells.clear()


os.register_at_fork(after_in_child=_leave_all_to_parent)


def _subscribed() -> Any:
    """A socket that becomes readable when something changes. OSError where there are none."""
    socket = new_socket(_AF_NETLINK, stdlib_socket.SOCK_RAW)
    try:
        socket.setblocking(False)
        socket.bind((0, _GROUPS))
    except OSError:
        socket.close()
        raise
    return socket


def _source(remote: Endpoint) -> str:
    return outward_host(family_of(remote[0]), remote)

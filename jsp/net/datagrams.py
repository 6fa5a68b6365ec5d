"""Datagrams in and out of a socket: the two system calls of the data path, and nothing else.

Each function is a call of the socket module in Python. Compiled modules get the same names from `datagrams.pxd` beside
this file, as C that makes no object for what did not change; this file itself is not compiled.

Both return what the system call does, or minus the `errno`; both leave an address that is the same as last time alone.
"""

from __future__ import annotations

import socket as stdlib_socket
import struct
from typing import Any

from jsp.net.arrival import Arrival

# linux/udp.h, linux/in.h, linux/in6.h: constants that the socket module has not, or not everywhere.
SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
IP_PKTINFO = 8
IPV6_PKTINFO = 50
IP_TOS = 1
IPV6_TCLASS = 67

_ANCILLARY = 3 * stdlib_socket.CMSG_SPACE(4) + stdlib_socket.CMSG_SPACE(20)
_ECN = 3  # the bits of the field that are not for the differentiated services
_INT = struct.Struct("i")
_SEGMENT = struct.Struct("H")


def receive(socket: Any, fd: int, data: bytearray, view: memoryview, room: int, into: Arrival) -> int:
    """Take the next batch into the first `room` bytes of `data` (of which `view` is a view); how many bytes came."""
    try:
        size, ancillary, _, into.remote = socket.recvmsg_into([view[:room]], _ANCILLARY)
    except OSError as error:
        return -(error.errno or 1)
    into.segment = size
    into.local = None
    into.ecn = 0
    for level, kind, value in ancillary:
        if level == SOL_UDP and kind == UDP_GRO:
            into.segment = _INT.unpack_from(value)[0]
        elif kind == IP_PKTINFO and level == stdlib_socket.IPPROTO_IP:
            into.local = value[4:8]
        elif kind == IPV6_PKTINFO and level == stdlib_socket.IPPROTO_IPV6:
            into.local = value[:16]
        elif kind == IP_TOS and level == stdlib_socket.IPPROTO_IP:
            into.ecn = value[0] & _ECN
        elif kind == IPV6_TCLASS and level == stdlib_socket.IPPROTO_IPV6:
            into.ecn = _INT.unpack_from(value)[0] & _ECN
    return int(size)


def send(
    socket: Any,
    fd: int,
    data: bytes | memoryview,
    segment: int,
    remote: tuple[Any, ...],
    name: bytes,
    source: bytes,
    ecn: int = 0,
) -> int:
    """Send `data` to `remote` (whose socket address is `name`) as datagrams of `segment` bytes; 0: as a single one.

    `source`: the packed address to send from; empty: the socket's own. `ecn`: the ECN field of their headers.
    """
    ancillary: list[tuple[int, int, bytes]] = []
    if len(source) == 16:
        ancillary.append((stdlib_socket.IPPROTO_IPV6, IPV6_PKTINFO, source + bytes(4)))
    elif source:
        ancillary.append((stdlib_socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + source + bytes(4)))
    if segment:
        ancillary.append((SOL_UDP, UDP_SEGMENT, _SEGMENT.pack(segment)))
    if ecn:
        # A packet to a mapped address is one of IPv4, whatever the socket is, and takes no notice of the other.
        ancillary.append((stdlib_socket.IPPROTO_IP, IP_TOS, _INT.pack(ecn)))
        if socket.family == stdlib_socket.AF_INET6:
            ancillary.append((stdlib_socket.IPPROTO_IPV6, IPV6_TCLASS, _INT.pack(ecn)))
    try:
        return int(socket.sendmsg([data], ancillary, 0, remote))
    except OSError as error:
        return -(error.errno or 1)

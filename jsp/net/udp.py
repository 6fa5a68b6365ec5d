"""A UDP socket that receives and sends batches: GRO in, GSO out, each falling back by itself.

OS errors end here. What they mean for a connection: nothing, for a network may lose any datagram; only that nobody
listens at the other end is worth telling, and only while connecting.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
import struct
import sys
from typing import Any

from gevent.monkey import get_original

from jsp.engine.events import Endpoint, Received, Transmit
from jsp.errors import LocalError
from jsp.wire.buffer import DATAGRAM_MAX, PacketBuffer

AF_INET = stdlib_socket.AF_INET
AF_INET6 = stdlib_socket.AF_INET6

# linux/udp.h, linux/in.h, linux/in6.h: constants that the socket module has not, or not everywhere.
_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_PROBE = 3
_IP_PKTINFO = 8
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32

_BUFFER_BYTES = 4 << 20
_ANCILLARY = stdlib_socket.CMSG_SPACE(4) + stdlib_socket.CMSG_SPACE(20)
_INT = struct.Struct("i")
_SEGMENT = struct.Struct("H")
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
_NO_GSO = (errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT)
_NO_GSO_ADDRESSES_MAX = 4096


def new_socket(family: int, kind: int, fd: int | None = None) -> Any:
    """A plain socket, of a descriptor when that is given, whether or not the program is monkey-patched."""
    return get_original("socket", "socket")(family, kind, 0, fd)


class UdpSocket:
    """Attributes:
    address: where the socket is bound.
    refused: set when the kernel reported that nobody listens at the address last sent to.
    """

    def __init__(self, bind: tuple[str, int], family: int, reuse_address: bool = False, bound: Any = None) -> None:
        """Bind to `bind`, or duplicate the socket `bound`; OSError says why when that fails."""
        self.family = family
        fd = None if bound is None else os.dup(bound.fileno())
        self._socket = new_socket(family, stdlib_socket.SOCK_DGRAM, fd)
        try:
            self._socket.setblocking(False)
            if reuse_address:
                self._socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
            if family == AF_INET6 and bound is None:
                self._socket.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 0)
            self._enlarge_buffers()
            self._gro = self._set(_SOL_UDP, _UDP_GRO, 1)
            self._forbid_fragments()
            if bound is None:
                self._socket.bind(bind)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"cannot listen on {bind[0] or '*'}:{bind[1]}: {error.strerror}") from None
        except BaseException:
            self._socket.close()
            raise
        self.address: Endpoint = self._socket.getsockname()
        self.refused = False
        self._wildcard = self.address[0] in ("0.0.0.0", "::")
        if self._wildcard:
            self._want_local_addresses()
        self._gso = sys.platform == "linux"
        self._no_gso: set[Endpoint] = set()

    def _set(self, level: int, option: int, value: int) -> bool:
        if sys.platform != "linux":
            return False
        try:
            self._socket.setsockopt(level, option, value)
        except OSError:
            return False
        return True

    def _enlarge_buffers(self) -> None:
        # A burst of one window must fit, or it is lost on arrival. Root may go beyond the system's limit.
        for force, plain in (
            (_SO_RCVBUFFORCE, stdlib_socket.SO_RCVBUF),
            (_SO_SNDBUFFORCE, stdlib_socket.SO_SNDBUF),
        ):
            if not self._set(stdlib_socket.SOL_SOCKET, force, _BUFFER_BYTES):
                self._socket.setsockopt(stdlib_socket.SOL_SOCKET, plain, _BUFFER_BYTES)

    def _forbid_fragments(self) -> None:
        # RFC 9000 14: datagrams must not be fragmented by anybody.
        if self.family == AF_INET6:
            self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        self._set(stdlib_socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)

    def _want_local_addresses(self) -> None:
        # Bound to all addresses, a reply must leave from the one that was asked.
        if self.family == AF_INET6:
            self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            self._set(stdlib_socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def report_refusals(self) -> None:
        """Let the kernel say when nobody listens at an address we send to (`refused`)."""
        self._set(stdlib_socket.IPPROTO_IP, _IP_RECVERR, 1)
        if self.family == AF_INET6:
            self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)

    def fileno(self) -> int:
        return int(self._socket.fileno())

    # --- in ------------------------------------------------------------------------------------------------

    def receive(self, slots: PacketBuffer) -> Received | None:
        """The next batch into `slots`, or None when there is none now."""
        while True:
            try:
                size, ancillary, _, remote = self._socket.recvmsg_into([slots.view[:DATAGRAM_MAX]], _ANCILLARY)
            except OSError as error:
                if error.errno in _WOULD_BLOCK:
                    return None
                # An ICMP message about something sent earlier; the queue must be emptied or poll() never rests.
                self._note_refusal(error)
                continue
            if size:
                break
            # An empty datagram: nothing in it for anybody, but it must not end the batch.
            return Received(0, 1, remote)
        received = Received(size, size, remote)
        for level, kind, data in ancillary:
            if level == _SOL_UDP and kind == _UDP_GRO:
                received.segment_size = _INT.unpack_from(data)[0]
            elif kind == _IP_PKTINFO and level == stdlib_socket.IPPROTO_IP:
                received.local = (stdlib_socket.inet_ntop(AF_INET, data[4:8]), self.address[1])
            elif kind == _IPV6_PKTINFO and level == stdlib_socket.IPPROTO_IPV6:
                received.local = (stdlib_socket.inet_ntop(AF_INET6, data[:16]), self.address[1])
        return received

    def _note_refusal(self, error: OSError) -> None:
        if error.errno in _NOBODY_THERE:
            self.refused = True
        try:
            self._socket.recvmsg(1, 512, _MSG_ERRQUEUE)
        except OSError:
            return

    # --- out -----------------------------------------------------------------------------------------------

    def send(self, transmit: Transmit) -> bool:
        """Send a train; False when the socket takes nothing now. What the network refuses counts as lost."""
        data, segment = transmit.data, transmit.segment_size
        ancillary = self._source(transmit.local) if transmit.local is not None and self._wildcard else []
        if segment < len(data):
            if not self._gso or transmit.remote in self._no_gso:
                return self._send_each(transmit, ancillary)
            ancillary = [*ancillary, (_SOL_UDP, _UDP_SEGMENT, _SEGMENT.pack(segment))]
        try:
            self._socket.sendmsg([data], ancillary, 0, transmit.remote)
        except OSError as error:
            if error.errno in _WOULD_BLOCK or error.errno == errno.ENOBUFS:
                return False
            if segment < len(data) and error.errno in _NO_GSO:
                # Segmentation can fail for one route only (a tunnel, say), so it is given up by address.
                if len(self._no_gso) < _NO_GSO_ADDRESSES_MAX:
                    self._no_gso.add(transmit.remote)
                else:
                    self._gso = False
                return self._send_each(transmit, ancillary[:-1])
            self._note_refusal(error)
        return True

    def _send_each(self, transmit: Transmit, ancillary: list[tuple[int, int, bytes]]) -> bool:
        data, segment = transmit.data, transmit.segment_size
        sent = False
        for start in range(0, len(data), segment):
            try:
                self._socket.sendmsg([data[start : start + segment]], ancillary, 0, transmit.remote)
            except OSError as error:
                if error.errno in _WOULD_BLOCK or error.errno == errno.ENOBUFS:
                    # The rest of a train that has begun counts as lost: it cannot be taken back.
                    return sent
                self._note_refusal(error)
            sent = True
        return True

    def _source(self, local: Endpoint) -> list[tuple[int, int, bytes]]:
        """Ancillary data that makes a datagram leave from `local`."""
        if self.family == AF_INET6:
            packed = stdlib_socket.inet_pton(AF_INET6, local[0])
            return [(stdlib_socket.IPPROTO_IPV6, _IPV6_PKTINFO, packed + bytes(4))]
        packed = stdlib_socket.inet_pton(AF_INET, local[0])
        return [(stdlib_socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + packed + bytes(4))]

    def source_for(self, remote: Endpoint) -> Endpoint:
        """The local address that datagrams to `remote` leave from."""
        if not self._wildcard:
            return self.address
        return (_outward_host(self.family, remote), *self.address[1:])

    def close(self) -> None:
        self._socket.close()


def _outward_host(family: int, remote: Endpoint) -> str:
    probe = new_socket(family, stdlib_socket.SOCK_DGRAM)
    try:
        # Connecting a UDP socket sends nothing; it only picks the route.
        probe.connect(remote)
        return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1" if family == AF_INET else "::1"
    finally:
        probe.close()


def reachable_host(bound: str) -> str:
    """A host that others can use for a socket bound to `bound`: itself, or for a wildcard our outward address."""
    if bound not in ("0.0.0.0", "::"):
        return bound
    # 192.0.2.0/24 is for documentation: any address beyond the local networks would do.
    return _outward_host(AF_INET, ("192.0.2.1", 9))


def check_port(port: int | str) -> int:
    """`port` as a number, if it can be one."""
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if not isinstance(port, int) or not 0 <= port <= 65535:
        raise LocalError(f"port {port!r} is not a number between 0 and 65535")
    return port

# cython: language_level=3, annotation_typing=False, nonecheck=True
"""A UDP socket that receives and sends batches: GRO in, GSO out, each falling back by itself.

OS errors end here. What they mean for a connection: mostly nothing, for a network may lose any datagram. Worth telling
is that nobody listens at the other end, while connecting, and that a datagram was too large: for our own host, which
is a fact, or for somebody on the way, which an ICMP message says that anybody may have written.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket as stdlib_socket
import struct
import sys
from functools import lru_cache
from typing import Any

from gevent.monkey import get_original

import jsp.net.clock as clock
import jsp.net.datagrams as datagrams
from jsp.engine.mtu_search import header_bytes
from jsp.engine.traffic import Endpoint, Received, Transmit
from jsp.errors import LocalError
from jsp.net.arrival import Arrival
from jsp.wire.buffer import DATAGRAM_MAX, PacketBuffer

AF_INET = stdlib_socket.AF_INET
AF_INET6 = stdlib_socket.AF_INET6

# linux/udp.h, linux/in.h, linux/in6.h: constants that the socket module has not, or not everywhere.
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_PROBE = 3
_IPV6_RECVPKTINFO = 49
_IP_RECVERR = 11
_IP_RECVTOS = 13
_IPV6_RECVTCLASS = 66
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_BINDTOIFINDEX = 62
# linux/errqueue.h: errno, origin, and what is told beside it.
_EXTENDED_ERROR = struct.Struct("=IB3xI")
_ORIGIN_LOCAL = 1

_BUFFER_BYTES = 4 << 20
_RECEIVED_MAX = DATAGRAM_MAX
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_TAKES_NOTHING = (*_WOULD_BLOCK, errno.ENOBUFS)
_ERRORS = ((stdlib_socket.IPPROTO_IP, _IP_RECVERR), (stdlib_socket.IPPROTO_IPV6, _IPV6_RECVERR))
_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
_NO_GSO = (errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT)
_NO_GSO_ADDRESSES_MAX = 4096
_NAMES_MAX = 4096
_ERRORS_MAX = 64
_HINTS_MAX = 16


def family_of(host: str) -> int:
    """Of an IPv4 or IPv6 address."""
    return AF_INET6 if ":" in host else AF_INET


def new_socket(family: int, kind: int, fd: int | None = None) -> Any:
    """A plain socket, of a descriptor when that is given, whether or not the program is monkey-patched."""
    return get_original("socket", "socket")(family, kind, 0, fd)


class UdpSocket:
    """Attributes:
    address: where the socket is bound.
    refused: set when the kernel reported that nobody listens at an address that something was sent to.
    too_large: set when our host refuses to send datagrams of so many bytes, to the address last sent to.
    hints: what ICMP says of the way to an address: the most bytes of a datagram that pass.
    whole: whether what is sent is fragmented nowhere.
    """

    __slots__ = (
        "_arrival", "_ecn", "_fd", "_gso", "_local_address", "_local_packed", "_names", "_no_gso", "_socket",
        "_wildcard", "address", "family", "hints", "refused", "too_large", "whole",
    )  # fmt: skip

    def __init__(self, bind: tuple[str, int], family: int, bound: Any = None, shared: bool = False) -> None:
        """Bind to `bind`, or duplicate the socket `bound`; OSError says why when that fails.

        `shared`: beside the sockets that have the port and let others share it (`share_port`).
        """
        self.family = family
        fd = None if bound is None else os.dup(bound.fileno())
        self._socket = new_socket(family, stdlib_socket.SOCK_DGRAM, fd)
        try:
            self._socket.setblocking(False)
            if shared:
                self.share_port()
            if family == AF_INET6 and bound is None:
                self._socket.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 0)
            self._enlarge_buffers()
            self._set(datagrams.SOL_UDP, datagrams.UDP_GRO, 1)
            self.whole = self._forbid_fragments()
            self._want_errors()
            self._ecn = self._want_marks()
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
        self.too_large = 0
        self.hints: tuple[tuple[Endpoint, int], ...] = ()
        self._wildcard = self.address[0] in ("0.0.0.0", "::")
        if self._wildcard:
            self._want_local_addresses()
        self._fd = self.fileno()
        self._arrival = Arrival()
        self._local_packed = b""
        self._local_address: Endpoint = ()
        self._names: dict[Endpoint, bytes] = {}
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

    def _forbid_fragments(self) -> bool:
        # RFC 9000 14: datagrams must not be fragmented by anybody.
        if self.family == AF_INET6 and not self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE):
            return False
        return self._set(stdlib_socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)

    def _want_errors(self) -> None:
        # Without it the kernel keeps to itself what ICMP says of addresses that the socket is not connected to.
        self._set(stdlib_socket.IPPROTO_IP, _IP_RECVERR, 1)
        if self.family == AF_INET6:
            self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)

    def _want_marks(self) -> bool:
        """Ask for the ECN field of what arrives; whether that can be had, and with it ECN at all."""
        if not self._set(stdlib_socket.IPPROTO_IP, _IP_RECVTOS, 1):
            return False
        return self.family != AF_INET6 or self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_RECVTCLASS, 1)

    def _want_local_addresses(self) -> None:
        # Bound to all addresses, a reply must leave from the one that was asked.
        if self.family == AF_INET6:
            self._set(stdlib_socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            self._set(stdlib_socket.IPPROTO_IP, datagrams.IP_PKTINFO, 1)

    def leave_by(self, index: int) -> None:
        """Use the interface of this index alone, whichever routes prefer, if the system lets us."""
        # Not IPV6_UNICAST_IF: the kernel takes that for a wish, and the preferred route for more of one.
        self._set(stdlib_socket.SOL_SOCKET, _SO_BINDTOIFINDEX, index)

    def share_port(self) -> None:
        """Let further sockets of this user bind to our port. OSError where systems cannot."""
        self._socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEPORT, 1)

    def attach_filter(self, program: ctypes.Array[ctypes.c_char], instructions: int) -> bool:
        """Let a classic BPF program choose among the sockets that share our port; whether the kernel takes it."""
        if sys.platform != "linux":
            return False
        pointer = struct.pack("HP", instructions, ctypes.addressof(program))
        try:
            self._socket.setsockopt(stdlib_socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, pointer)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        return int(self._socket.fileno())

    # --- in ------------------------------------------------------------------------------------------------

    def receive(self, slots: PacketBuffer) -> Received | None:
        """The next batch into `slots`, or None when there is none now."""
        arrival = self._arrival
        while True:
            size = datagrams.receive(self._socket, self._fd, slots.data, slots.view, _RECEIVED_MAX, arrival)
            if size >= 0:
                break
            if -size in _WOULD_BLOCK:
                return None
            self._take_errors(-size)
        local = None
        if arrival.local is not None:
            local = self._local(arrival.local)
        assert arrival.remote is not None
        # An empty datagram has nothing in it for anybody, but it must not end the batch.
        return Received(size, arrival.segment or 1, arrival.remote, local, arrival.ecn)

    def _local(self, packed: bytes) -> Endpoint:
        """The address that peers know us by, of the packed one they used; mostly the same as last time."""
        if packed != self._local_packed:
            self._local_packed = packed
            self._local_address = (stdlib_socket.inet_ntop(self.family, packed), self.address[1])
        return self._local_address

    def _take_errors(self, number: int) -> bool:
        """A call failed with errno `number`: hear what the kernel has to say; whether of something sent earlier.

        Its queue must be emptied, or poll() never rests.
        """
        if number in _NOBODY_THERE:
            self.refused = True
        earlier = False
        for _ in range(_ERRORS_MAX):
            try:
                _, ancillary, _, remote = self._socket.recvmsg(1, 512, _MSG_ERRQUEUE)
            except OSError:
                break
            for level, kind, value in ancillary:
                if (level, kind) in _ERRORS:
                    number, origin, told = _EXTENDED_ERROR.unpack_from(value)
                    earlier = earlier or origin != _ORIGIN_LOCAL
                    if number == errno.EMSGSIZE:
                        self._note_size(remote, origin, told - header_bytes(remote))
        return earlier

    def _note_size(self, remote: Endpoint, origin: int, most: int) -> None:
        if origin == _ORIGIN_LOCAL:
            self.too_large = most + 1
        elif len(self.hints) < _HINTS_MAX:
            self.hints += ((remote, most),)

    # --- out -----------------------------------------------------------------------------------------------

    def send(self, transmit: Transmit) -> bool:
        """Send a train; False when the socket takes nothing now. What the network refuses counts as lost."""
        data, segment, remote = transmit.data, transmit.segment_size, transmit.remote
        self.too_large = 0
        name = self._name(remote)
        source = b""
        if self._wildcard and transmit.local is not None:
            source = self._source(transmit.local)
        single = segment >= len(data)
        if not single and (not self._gso or remote in self._no_gso):
            return self._send_each(transmit, name, source)
        size = 0 if single else segment
        ecn = transmit.ecn if self._ecn else 0
        sent = self._send_some(data, size, remote, name, source, ecn)
        if sent >= 0:
            return True
        if -sent in _TAKES_NOTHING:
            return False
        if not single and -sent in _NO_GSO:
            begun = self._send_each(transmit, name, source)
            if not self.too_large:
                self._give_segmentation_up(remote)
            return begun
        if -sent == errno.EMSGSIZE and not self.too_large:
            self.too_large = len(data)
        return True

    def _send_some(
        self, data: bytes | memoryview, segment: int, remote: Endpoint, name: bytes, source: bytes, ecn: int
    ) -> int:
        """One call of `datagrams.send`, or two: the first may fail for what ICMP says of something sent earlier."""
        for _ in range(2):
            sent = datagrams.send(self._socket, self._fd, data, segment, remote, name, source, ecn)
            if sent >= 0 or -sent in _TAKES_NOTHING or not self._take_errors(-sent):
                break
        return sent

    def _give_segmentation_up(self, remote: Endpoint) -> None:
        # It can fail for one route only (a tunnel, say), so it is given up by address.
        if len(self._no_gso) < _NO_GSO_ADDRESSES_MAX:
            self._no_gso.add(remote)
        else:
            self._gso = False

    def _name(self, remote: Endpoint) -> bytes:
        """`remote` as a socket address; made once for each, for as long as there are not too many."""
        name = self._names.get(remote)
        if name is None:
            if len(self._names) >= _NAMES_MAX:
                self._names.clear()
            name = self._names[remote] = socket_address(self.family, remote)
        return name

    def _source(self, local: Endpoint) -> bytes:
        """`local` as a packed address; mostly the one that the last batch came to."""
        if local is self._local_address:
            return self._local_packed
        return stdlib_socket.inet_pton(self.family, local[0])

    def _send_each(self, transmit: Transmit, name: bytes, source: bytes) -> bool:
        data, segment, remote = transmit.data, transmit.segment_size, transmit.remote
        ecn = transmit.ecn if self._ecn else 0
        begun = False
        for start in range(0, len(data), segment):
            piece = data[start : start + segment]
            sent = self._send_some(piece, 0, remote, name, source, ecn)
            if sent < 0 and -sent in _TAKES_NOTHING:
                # The rest of a train that has begun counts as lost: it cannot be taken back.
                return begun
            begun = True
        return True

    def is_anywhere(self) -> bool:
        """Whether it is bound to all addresses of this machine."""
        return self._wildcard

    def source_for(self, remote: Endpoint) -> Endpoint:
        """The local address that datagrams to `remote` leave from."""
        if not self._wildcard:
            return self.address
        return (_outward_host_at(self.family, remote, int(clock.now())), *self.address[1:])

    def close(self) -> None:
        # The number may soon be another file's.
        self._fd = -1
        self._socket.close()


def socket_address(family: int, remote: Endpoint) -> bytes:
    """`remote` as the system's calls take it (struct sockaddr_in, sockaddr_in6)."""
    port = struct.pack("!H", remote[1])
    packed = stdlib_socket.inet_pton(family, remote[0])
    if family == AF_INET:
        rest = port + packed + bytes(8)
    else:
        flow, scope = (*remote[2:], 0, 0)[:2]
        rest = port + struct.pack("!I", flow) + packed + struct.pack("=I", scope)
    # BSD systems begin with a length, in one byte of the two that Linux has for the family.
    head = struct.pack("=H", family) if sys.platform == "linux" else struct.pack("=BB", len(rest) + 2, family)
    return head + rest


@lru_cache(256)
def _outward_host_at(family: int, remote: Endpoint, second: int) -> str:
    """Asked for by every connection that begins, and four system calls."""
    return outward_host(family, remote)


def outward_host(family: int, remote: Endpoint) -> str:
    """The local address that datagrams to `remote` leave from now."""
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
    return outward_host(AF_INET, ("192.0.2.1", 9))


def check_port(port: int | str) -> int:
    """`port` as a number, if it can be one."""
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if not isinstance(port, int) or not 0 <= port <= 65535:
        raise LocalError(f"port {port!r} is not a number between 0 and 65535")
    return port

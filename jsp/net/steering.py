"""How a datagram finds its worker among the processes that share a port: in the kernel, or by way of another worker.

Every worker has a socket of its own, all bound to one port. Where the kernel takes it, a classic BPF program looks at
the connection id as `engine/sharing` does and names the socket. Where not, the kernel's own choice counts, and whoever
gets another's datagram sends it on through a unix socket pair. The second way stays open beside the first: the kernel
may glue datagrams with different ids together, and goes by the first one.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import socket as stdlib_socket
import struct
from typing import Any

from gevent.monkey import get_original

from jsp.engine.sharing import Share
from jsp.engine.traffic import Endpoint as Address
from jsp.engine.traffic import Received
from jsp.errors import LocalError
from jsp.net.endpoint import Endpoint
from jsp.net.udp import UdpSocket
from jsp.wire.buffer import DATAGRAM_MAX
from jsp.wire.packet import LONG_FIRST, SHORT_FIRST

# Batches taken before others have a turn, as from the network.
_BATCHES = 8
_BUFFER_BYTES = 4 << 20
_PREFIX = struct.Struct("H")
_PREFIX_MAX = 1024
_RIGHTS_SIZE = stdlib_socket.CMSG_SPACE(4)

# linux/filter.h: load a byte, jump when at least, jump, modulo, return.
_LOAD, _JUMP_GE, _JUMP, _MOD, _RETURN = 0x30, 0x35, 0x05, 0x94, 0x16


def _program(workers: int) -> list[tuple[int, int, int, int]]:
    """The rule of `engine/sharing` as instructions (code, jump if true, jump if false, operand)."""
    return [
        (_LOAD, 0, 0, 0),
        (_JUMP_GE, 0, 2, LONG_FIRST),
        (_LOAD, 0, 0, 6),  # long header: flags, version, length of the id, the id
        (_JUMP, 0, 0, 1),
        (_LOAD, 0, 0, 1),  # short header: flags, the id
        (_MOD, 0, 0, workers),
        (_RETURN, 0, 0, 0),
    ]


def attach(socket: UdpSocket, workers: int) -> bool:
    """Let the kernel choose among the sockets of a port, in the order they were bound; whether it does."""
    instructions = _program(workers)
    code = b"".join(struct.pack("HBBI", *each) for each in instructions)
    return socket.attach_filter(ctypes.create_string_buffer(code, len(code)), len(instructions))


def bind_all(bind: tuple[str, int], family: int, workers: int, bound: Any = None) -> list[UdpSocket]:
    """A socket for each worker on one port; the first is `bound`, when given. OSError when the port cannot be had."""
    if not hasattr(stdlib_socket, "SO_REUSEPORT"):
        raise LocalError("workers: this system cannot share a port among processes")
    # The first one takes the port for itself: with SO_REUSEPORT from the start it would join a stranger's sockets.
    sockets = [UdpSocket(bind, family, bound)]
    try:
        sockets[0].share_port()
        for _ in range(1, workers):
            sockets.append(UdpSocket(sockets[0].address, family, shared=True))
    except BaseException:
        for socket in sockets:
            socket.close()
        raise
    return sockets


class Mailboxes:
    """A unix socket pair for each worker: all others write to it. Made before the workers are."""

    def __init__(self, workers: int) -> None:
        pair = get_original("socket", "socketpair")
        self._pairs: list[tuple[Any, Any]] = []
        try:
            for _ in range(workers):
                self._pairs.append(pair(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_DGRAM))
                for end in self._pairs[-1]:
                    end.setblocking(False)
                self._pairs[-1][1].setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, _BUFFER_BYTES)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._pairs)

    def fileno(self, worker: int) -> int:
        """What to watch for batches that come for a worker."""
        return int(self._pairs[worker][0].fileno())

    def send(self, worker: int, data: bytes, received: Received) -> None:
        """Leave a batch for a worker. One too busy to take it loses it, as networks lose datagrams."""
        about = marshal.dumps((received.segment_size, received.ecn, received.remote, received.local))
        try:
            self._pairs[worker][1].sendmsg([_PREFIX.pack(len(about)), about, data])
        except OSError:
            return

    def send_file(self, worker: int, number: int, data: bytes, remote: Address) -> bool:
        """Leave the open file `number` for a worker, a TCP connection with `remote` on which `data` came."""
        about = marshal.dumps((0, 0, remote, None))
        rights = (stdlib_socket.SOL_SOCKET, stdlib_socket.SCM_RIGHTS, struct.pack("i", number))
        try:
            self._pairs[worker][1].sendmsg([_PREFIX.pack(len(about)), about, data], [rights])
        except OSError:
            return False
        return True

    def receive(self, worker: int) -> tuple[bytes, Received, int] | None:
        """The next batch for a worker, or None; and the open file that came with it, or -1."""
        try:
            message, ancillary, _, _ = self._pairs[worker][0].recvmsg(DATAGRAM_MAX + _PREFIX_MAX, _RIGHTS_SIZE)
        except OSError:
            return None
        start = _PREFIX.size + _PREFIX.unpack_from(message)[0]
        segment, ecn, remote, local = marshal.loads(message[_PREFIX.size : start])
        data = message[start:]
        number = struct.unpack("i", ancillary[0][2])[0] if ancillary else -1
        return data, Received(len(data), segment, remote, local, ecn), number

    def close(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()


class Exchange:
    """In a worker: takes what other workers pass on to its endpoint, and passes on what is theirs."""

    def __init__(self, endpoint: Endpoint, mailboxes: Mailboxes, worker: int) -> None:
        self._endpoint = endpoint
        self._mailboxes = mailboxes
        self._worker = worker
        self._reader = endpoint.hub.loop.io(mailboxes.fileno(worker), 1)
        self._reader.start(self._on_readable)
        endpoint.core.share = Share(worker, len(mailboxes), mailboxes.send)
        if endpoint.carriers is not None:
            endpoint.carriers.hand_over = self._hand_over

    def _on_readable(self) -> None:
        for _ in range(_BATCHES):
            batch = self._mailboxes.receive(self._worker)
            if batch is None:
                return
            data, received, number = batch
            if number < 0:
                self._endpoint.handle_passed_on(data, received)
            elif self._endpoint.carriers is not None and not self._endpoint.closed:
                self._endpoint.carriers.take_over(number, data, received.remote)
            else:
                os.close(number)

    def _hand_over(self, first: bytes, number: int, data: bytes, remote: Address) -> bool:
        """Whether the TCP connection that `first` came by is another worker's, who has it now."""
        share = self._endpoint.core.share
        if share is None or not SHORT_FIRST <= first[0] < LONG_FIRST:
            return False  # a handshake is taken where it comes
        owner = share.owner(first[1 : 1 + self._endpoint.core.cid_size])
        return owner is not None and self._mailboxes.send_file(owner, number, data, remote)

    def close(self) -> None:
        """Stop watching; what comes from now on waits for the next worker of this number."""
        self._reader.stop()
        self._reader.close()

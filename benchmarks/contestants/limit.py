"""The limit for bulk: packets sealed, sent, received and opened with no protocol around them.

The `cryptography` package, GSO and GRO, blocking sockets, jsp's cipher and its 1,452-byte datagrams. The receiver
tells how much it has got; the sender keeps a window that fits into the socket's buffer, so nothing is lost.
"""

from __future__ import annotations

import os
import socket
import struct
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from benchmarks import compiling
from benchmarks.contestants import DATAGRAM, WARM_UP
from jsp.crypto import suites

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RCVBUFFORCE = 33
_KEY = bytes(32)
_TRAIN = 65_000 // DATAGRAM
_TRAIN_BYTES = _TRAIN * DATAGRAM
_WINDOW_MAX = 24 * _TRAIN_BYTES
_REPORTS = 6
_BUFFER = 4 << 20
_PATIENCE = 0.2
_USAGE = struct.Struct("!dQ")
_REPORT = struct.Struct("!Q")
_STOP = b"stop"


def _aead() -> AESGCM | ChaCha20Poly1305:
    return AESGCM(_KEY) if suites.preferred("auto")[0] == suites.AES_256_GCM else ChaCha20Poly1305(_KEY)


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    sock.bind(("127.0.0.1", 0))
    return sock


def serve() -> None:
    with _socket() as listener:
        print("ready", listener.getsockname()[1], flush=True)
        while True:
            window, client = listener.recvfrom(64)
            with _socket() as sock:
                sock.connect(client)
                _send(sock, *_REPORT.unpack(window))


def _send(sock: socket.socket, window: int) -> None:
    """Send until the client says stop, then tell it the CPU time and the packets."""
    pipe = compiling.load()
    encrypt_into = _aead().encrypt_into
    payload = os.urandom(DATAGRAM - pipe.HEADER - pipe.TAG)
    buffer, nonce = bytearray(_TRAIN_BYTES), bytearray(pipe.NONCE)
    slots = pipe.views(buffer, DATAGRAM, _TRAIN)
    sock.setsockopt(_SOL_UDP, _UDP_SEGMENT, DATAGRAM)
    # A receiver that has nothing to report for so long has lost something, and there is room again.
    sock.settimeout(_PATIENCE)
    number = 0
    outstanding = 0
    cpu = time.thread_time()
    while True:
        while outstanding + _TRAIN_BYTES > window:
            try:
                report = sock.recv(64)
            except TimeoutError:
                outstanding = 0
                break
            if report == _STOP:
                sock.setsockopt(_SOL_UDP, _UDP_SEGMENT, 0)
                sock.send(_USAGE.pack(time.thread_time() - cpu, number))
                return
            outstanding -= _REPORT.unpack(report)[0]
        pipe.seal_train(encrypt_into, payload, buffer, slots, nonce, DATAGRAM, number)
        sock.send(buffer)
        number += _TRAIN
        outstanding += _TRAIN_BYTES


class _Receiver:
    """The client's end.

    Attributes:
        packets: opened so far.
        payload: bytes in each.
        window: bytes that may be on their way.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._pipe = compiling.load()
        self._sock = sock
        self._buffer, self._nonce = bytearray(1 << 16), bytearray(self._pipe.NONCE)
        self._slots = self._pipe.views(self._buffer, DATAGRAM, _TRAIN)
        self._decrypt_into = _aead().decrypt_into
        # A quarter of the buffer: the kernel counts what it keeps beside the data too.
        space = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.window = max(_TRAIN_BYTES, min(_WINDOW_MAX, space // 4))
        self._unreported = 0
        self._sender: object = None
        self.packets = 0
        self.payload = DATAGRAM - self._pipe.HEADER - self._pipe.TAG

    def receive_until(self, end: float) -> float:
        """Receive and open until `end`; the time when that was."""
        while (now := time.perf_counter()) < end:
            size, _, _, sender = self._sock.recvmsg_into([self._buffer], 64)
            if self._sender is None:
                self._sender = sender
                self._sock.connect(sender)
            self.packets += self._pipe.open_batch(
                self._decrypt_into, self._buffer, self._slots, self._nonce, DATAGRAM, size
            )
            self._unreported += size
            if self._unreported >= self.window // _REPORTS:
                self._sock.send(_REPORT.pack(self._unreported))
                self._unreported = 0
        return now

    def stop(self) -> tuple[float, int]:
        """End it; CPU seconds and packets of the sender."""
        self._sock.send(_STOP)
        # The sender looks at what we send only when its window is full, so what it sends is taken to the end.
        while True:
            size = self._sock.recv_into(self._buffer)
            if size == _USAGE.size:
                cpu, packets = _USAGE.unpack_from(self._buffer)
                return cpu, packets


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    with _socket() as sock:
        sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        sock.settimeout(10)
        receiver = _Receiver(sock)
        sock.sendto(_REPORT.pack(receiver.window), ("127.0.0.1", int(address)))
        begin = receiver.receive_until(time.perf_counter() + WARM_UP)
        opened, cpu = receiver.packets, time.thread_time()
        elapsed = receiver.receive_until(begin + seconds) - begin
        opened, cpu = receiver.packets - opened, time.thread_time() - cpu
        sender_cpu, sent = receiver.stop()
    return {
        "MB/s": opened * receiver.payload / elapsed / 1e6,
        "tx us/packet": sender_cpu / sent * 1e6,
        "rx us/packet": cpu / opened * 1e6,
    }

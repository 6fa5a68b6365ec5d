"""One TCP connection carried over one stream, with all that TCP says: bytes, ends, resets, and "not so fast".

Each direction is a loop of its own. The end of one direction (a FIN) becomes the end of the other side's direction
and leaves the opposite one alone, so half-closed connections work. A direction that breaks (an RST, a reset stream,
a lost connection) breaks both, and on the TCP side that is an RST: a program at the other end must not take a
broken tunnel for the end of the data. A loop reads no more until what it read was taken, so a slow reader at one
end slows the writer at the other, through the stream's flow control.
"""

from __future__ import annotations

import logging
import socket as stdlib_socket
import struct

import gevent
from gevent import socket as gevent_socket

import jsp

log = logging.getLogger("jsp.cli")

# Error codes of the streams of jsp-forward/1.
RESET = 1
UNREACHABLE = 2

_BUFFER = 64 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)


def carry(tcp: gevent_socket.socket, stream: jsp.Stream) -> None:
    """Carry bytes between `tcp` and `stream` until both directions are over; then close both.

    Nothing is raised when the tunnel breaks: both ends hear of it. Killing the greenlet breaks it too.
    """
    for level, option in (
        (stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY),  # what was written together came together
        (stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE),  # a TCP peer that vanished must not hold a stream
    ):
        tcp.setsockopt(level, option, 1)
    back = gevent.spawn(_to_tcp, stream, tcp)
    try:
        _to_stream(tcp, stream)
        back.join()
    except BaseException:
        _break(tcp, stream)
        raise
    finally:
        back.kill()
        stream.close()
        tcp.close()


def _to_stream(tcp: gevent_socket.socket, stream: jsp.Stream) -> None:
    try:
        while data := tcp.recv(_BUFFER):
            stream.sendall(data)
        stream.shutdown(stdlib_socket.SHUT_WR)
    except OSError as error:
        log.debug("stream %d, from TCP: %s", stream.id, error)
        _break(tcp, stream)


def _to_tcp(stream: jsp.Stream, tcp: gevent_socket.socket) -> None:
    buffer = memoryview(bytearray(_BUFFER))
    try:
        while size := stream.recv_into(buffer):
            tcp.sendall(buffer[:size])
        tcp.shutdown(stdlib_socket.SHUT_WR)
    except OSError as error:
        log.debug("stream %d, to TCP: %s", stream.id, error)
        _break(tcp, stream)


def _break(tcp: gevent_socket.socket, stream: jsp.Stream) -> None:
    stream.reset(RESET)
    reset_tcp(tcp)


def reset_tcp(tcp: gevent_socket.socket) -> None:
    """Close `tcp` with an RST; harmless when it is closed."""
    try:
        tcp.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, _LINGER_NOT)
    except OSError:
        # Closed already, or the peer was faster.
        pass
    tcp.close()

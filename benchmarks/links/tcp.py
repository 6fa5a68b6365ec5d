"""TCP of the kernel, with the congestion control it is told."""

from __future__ import annotations

import selectors
import socket
import struct
import time

from benchmarks.links.flow import BLOCK, HOST, Arrivals, Receipts

# Where struct tcp_info (linux/tcp.h) has them.
_TOTAL_RETRANS = 100
_SEGS_OUT = 136


def receive(port: int, until: float) -> dict[int, Arrivals]:
    receipts = Receipts()
    labels: dict[int, int] = {}
    with selectors.DefaultSelector() as selector, socket.create_server((HOST, port)) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.fileobj is listener:
                    made = listener.accept()[0]
                    selector.register(made, selectors.EVENT_READ)
                    continue
                data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fd in labels:
                    receipts.add(labels[key.fd], len(data))
                else:
                    labels[key.fd] = data[0]
    return dict(receipts.flows)


def send(port: int, label: int, congestion: str, until: float) -> dict[str, float]:
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        sock.connect((HOST, port))
        sock.sendall(bytes([label]))
        try:
            while (left := until - time.monotonic()) > 0:
                sock.settimeout(left)
                sock.send(BLOCK)
        except TimeoutError:
            pass
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    retransmitted, sent = (struct.unpack_from("=I", info, at)[0] for at in (_TOTAL_RETRANS, _SEGS_OUT))
    return {"sent": sent, "retransmitted": retransmitted}

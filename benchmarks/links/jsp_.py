"""jsp: one stream of a connection for each flow."""

from __future__ import annotations

import time

import gevent

import jsp
from benchmarks.links.flow import BLOCK, DATAGRAM, HOST, Arrivals, Receipts

_IDENTITY = jsp.Identity.from_seed(bytes(range(32)))


def receive(port: int, until: float) -> dict[int, Arrivals]:
    receipts = Receipts()

    def handle(stream: jsp.Stream, address: object) -> None:
        buffer = bytearray(1 << 20)
        label = stream.recv(1)[0]
        while size := stream.recv_into(buffer):
            receipts.add(label, size)

    config = jsp.Config(max_datagram_size=DATAGRAM)
    server = jsp.StreamServer((HOST, port), handle, identity=_IDENTITY, config=config)
    server.start()
    gevent.sleep(max(0.0, until - time.monotonic()))
    flows = dict(receipts.flows)
    server.stop(0)
    return flows


def send(port: int, label: int, congestion: str, until: float) -> dict[str, float]:
    config = jsp.Config(max_datagram_size=DATAGRAM, congestion=congestion)
    conn = jsp.connect(jsp.Address(HOST, port, _IDENTITY.peer_id.digest), config=config)
    stream = conn.open_stream()
    stream.sendall(bytes([label]))
    try:
        while (left := until - time.monotonic()) > 0:
            stream.settimeout(left)
            stream.sendall(BLOCK)
    except jsp.Timeout:
        pass
    stats = conn.stats()
    conn.abort()
    return {"sent": stats.packets_sent, "retransmitted": stats.packets_lost}

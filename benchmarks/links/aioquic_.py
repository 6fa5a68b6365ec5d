"""aioquic: one stream of a connection for each flow."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.contestants.quic import Quic
from benchmarks.links.flow import BLOCK, HOST, Arrivals, Receipts

_BACKLOG = 1 << 22


def receive(port: int, until: float) -> dict[int, Arrivals]:
    return asyncio.run(_receive(port, until))


async def _receive(port: int, until: float) -> dict[int, Arrivals]:
    receipts = Receipts()
    jobs: set[asyncio.Task[None]] = set()
    quic = Quic("aioquic")

    async def count(reader: asyncio.StreamReader) -> None:
        label = (await reader.readexactly(1))[0]
        while data := await reader.read(1 << 20):
            receipts.add(label, len(data))

    def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        jobs.add(asyncio.get_running_loop().create_task(count(reader)))

    await quic.asyncio.serve(HOST, port, configuration=quic.config(False), stream_handler=on_stream)
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    return dict(receipts.flows)


def send(port: int, label: int, congestion: str, until: float) -> dict[str, float]:
    return asyncio.run(_send(port, label, congestion, until))


def _count_losses(recovery: Any) -> list[int]:
    """A list that grows by the number of packets whenever `recovery` declares some lost: it keeps no count itself."""
    losses: list[int] = []
    declare = recovery._on_packets_lost

    def on_packets_lost(*, packets: Any, **details: Any) -> None:
        lost = list(packets)
        losses.append(len(lost))
        declare(packets=lost, **details)

    recovery._on_packets_lost = on_packets_lost
    return losses


async def _send(port: int, label: int, congestion: str, until: float) -> dict[str, float]:
    quic = Quic("aioquic")
    config = quic.config(True)
    config.congestion_control_algorithm = congestion
    async with quic.asyncio.connect(HOST, port, configuration=config) as client:
        losses = _count_losses(client._quic._loss)
        _, writer = await client.create_stream()
        writer.write(bytes([label]))
        sender = client._quic._streams[writer.get_extra_info("stream_id")].sender
        while time.monotonic() < until:
            while len(sender._buffer) < _BACKLOG:
                writer.write(BLOCK)
            await asyncio.sleep(0.01)
        client._closed.set()  # do not wait for the draining period
        return {"sent": client._quic._packet_number, "retransmitted": sum(losses)}

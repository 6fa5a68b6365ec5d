"""aioquic, and qh3, which shares its interface: streams over asyncio at 1,452-byte datagrams."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import time
from typing import Any

from benchmarks.contestants import BLOCK, DATAGRAM, SMALL, TOGETHER, WARM_UP, certificate, latencies

_WINDOW = 1 << 26
_BACKLOG = 1 << 21


class Quic:
    """One of the two libraries."""

    def __init__(self, library: str) -> None:
        self.asyncio = importlib.import_module(f"{library}.asyncio")
        self.configuration = importlib.import_module(f"{library}.quic.configuration")

    def config(self, client: bool) -> Any:
        config = self.configuration.QuicConfiguration(
            is_client=client, alpn_protocols=["bench"], max_data=_WINDOW, max_stream_data=_WINDOW
        )
        if hasattr(config, "max_datagram_size"):
            config.max_datagram_size = DATAGRAM
        if client:
            config.verify_mode = ssl.CERT_NONE
            config.server_name = "localhost"
        else:
            config.load_cert_chain(*certificate.make())
        return config

    def serve(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        jobs: set[asyncio.Task[None]] = set()

        def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            jobs.add(loop.create_task(_answer(reader, writer)))

        port = _free_port()
        await self.asyncio.serve("127.0.0.1", port, configuration=self.config(False), stream_handler=on_stream)
        print("ready", port, flush=True)
        await asyncio.Future()

    def run(self, test: str, address: str, seconds: float) -> dict[str, float]:
        return asyncio.run(self._run(test, int(address), seconds))

    async def _run(self, test: str, port: int, seconds: float) -> dict[str, float]:
        if test.startswith("handshakes"):
            return await self._handshakes(port, seconds, TOGETHER if test == "handshakes-8" else 1)
        async with self.asyncio.connect("127.0.0.1", port, configuration=self.config(True)) as client:
            reader, writer = await client.create_stream()
            result = await _TESTS[test](reader, writer, seconds)
            client.close()
            return result

    async def _handshakes(self, port: int, seconds: float, together: int) -> dict[str, float]:
        begin = time.perf_counter()

        async def repeat() -> int:
            count = 0
            while time.perf_counter() - begin < seconds:
                async with self.asyncio.connect("127.0.0.1", port, configuration=self.config(True)) as client:
                    count += 1
                    client.close()
                    client._closed.set()  # do not wait for the draining period
            return count

        count = sum(await asyncio.gather(*(repeat() for _ in range(together))))
        return {"handshakes/s": count / (time.perf_counter() - begin)}


def _free_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _backlog(writer: asyncio.StreamWriter) -> int:
    """Bytes written and not yet acknowledged; the libraries' own drain() waits for nothing."""
    protocol: Any = writer.transport.protocol  # type: ignore[attr-defined]
    stream_id = writer.get_extra_info("stream_id")
    if hasattr(protocol._quic, "get_send_buffer_size"):
        return int(protocol._quic.get_send_buffer_size(stream_id))
    return len(protocol._quic._streams[stream_id].sender._buffer)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    what = await reader.read(1)
    if what == b"B":
        while True:
            writer.write(BLOCK)
            while _backlog(writer) > _BACKLOG:
                await asyncio.sleep(0)
    elif what == b"E":
        while data := await reader.read(65536):
            writer.write(data)
    elif what == b"M":
        while (data := await reader.read(65536)) and not data.endswith(b"END"):
            pass
        writer.write(b"!")


async def _bulk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> dict[str, float]:
    writer.write(b"B")
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        await reader.read(1 << 20)
    got = 0
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
        got += len(await reader.read(1 << 20))
    return {"MB/s": got / (now - begin) / 1e6}


async def _rtt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> dict[str, float]:
    writer.write(b"E")
    samples = []
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        writer.write(SMALL)
        await reader.readexactly(len(SMALL))
        samples.append(time.perf_counter() - begin)
    return latencies(samples, time.process_time() - cpu)


async def _messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> dict[str, float]:
    writer.write(b"M")
    begin = time.perf_counter()
    sent = 0
    while time.perf_counter() - begin < seconds:
        for _ in range(100):
            writer.write(SMALL)
        sent += 100
        await asyncio.sleep(0)
        while _backlog(writer) > _BACKLOG:
            await asyncio.sleep(0)
    writer.write(b"END")
    await reader.readexactly(1)
    return {"messages/s": sent / (time.perf_counter() - begin)}


_TESTS = {"bulk": _bulk, "rtt": _rtt, "messages": _messages}

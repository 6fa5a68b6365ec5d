"""aioquic (see `quic`)."""

from __future__ import annotations

from benchmarks.contestants import quic


def serve() -> None:
    quic.Quic("aioquic").serve()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    return quic.Quic("aioquic").run(test, address, seconds)

"""qh3 (see `quic`)."""

from __future__ import annotations

from benchmarks.contestants import quic


def serve() -> None:
    quic.Quic("qh3").serve()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    return quic.Quic("qh3").run(test, address, seconds)

"""Samples and results with round numbers."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import summarise
from benchmarks.rounds import Sample, Samples


def sample(unit: str, value: float, **more: float) -> Sample:
    return {unit: value, **more, "others": 0.25, "steal": 0.0}


def packets(rate: float, tx: float, rx: float) -> Sample:
    return sample("MB/s", rate, **{"tx us/packet": tx, "rx us/packet": rx})


def samples() -> Samples:
    """Three rounds in which the machine slows down to a half and comes back."""
    speeds = (1.0, 0.5, 1.0)
    return Samples(
        {
            "bulk": {
                "jsp": [packets(100 * s, 6 / s, 8 / s) for s in speeds],
                "limit": [packets(200 * s, 3 / s, 3 / s) for s in speeds],
                "jsp-65000": [packets(400 * s, 100 / s, 100 / s) for s in speeds],
                "tls": [sample("MB/s", 400 * s) for s in speeds],
            },
            "rtt": {
                "jsp": [sample("p50 us", 100 / s, **{"p99 us": 900.0, "cpu us": 60 / s}) for s in speeds],
                "tls": [sample("p50 us", 50 / s, **{"p99 us": 800.0, "cpu us": 15 / s}) for s in speeds],
            },
            "handshakes": {
                "jsp": [sample("handshakes/s", 300 * s) for s in speeds],
                "bare": [sample("handshakes/s", 1000 * s) for s in speeds],
            },
            "seal": {"bare": [sample("us", 2 / s) for s in speeds]},
        }
    )


def result() -> dict[str, Any]:
    """The same as it would be written."""
    load = {"connections": 500, "bytes/connection": 12345.6, "idle cpu": 0.001, "live": 200, "p99 ms": 12.3}
    made = summarise(samples(), {"limit": "compiled by Cython"}, load)
    made["left out"]["zerorpc"] = "zerorpc is not installed"
    return made

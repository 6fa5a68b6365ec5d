"""Writes the figures into docs/header-compression.md: `python -m benchmarks.headers.report`.

As `benchmarks.report` does for docs/benchmarks.md: nothing between the markers is typed by hand.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.headers.figures import BULK, CBOR, FIXED
from benchmarks.report import ROOT, insert, where
from benchmarks.table import Rows, as_markdown, number

PAGE = ROOT / "docs" / "header-compression.md"
RESULTS = ROOT / "benchmarks" / "results" / "headers.json"

# A record of DTLS 1.3 (RFC 9147 section 4): flags, a connection id of 4 bytes, 2 of the number, length, content type.
_DTLS = 1 + 4 + 2 + 2 + 1


def _saved(header: float, other: float) -> str:
    return f"{100 * (1 - header / other):.1f} %"


def _headers(result: dict[str, Any]) -> Rows:
    rows: Rows = [
        ["", "lost", "bytes", "with ACKs", "all", "of 58 B", "of 150 B", "QUIC", "DTLS 1.3"],
    ]
    for name, mix in result["mixes"].items():
        for loss, found in mix["losses"].items():
            header = found["packet and frames"] + found["ack"]
            rows.append(
                [
                    f"{name}, a packet" if name == BULK else name,
                    f"{float(loss):.0%}",
                    f"{found['packet and frames']:.2f}",
                    f"{header:.2f}",
                    f"{found['all']:.2f}",
                    _saved(header, FIXED),
                    _saved(header, CBOR),
                    f"{found['quic']:.2f}",
                    str(_DTLS),
                ]
            )
    return rows


def _far(result: dict[str, Any]) -> Rows:
    rows: Rows = [["", "bytes"]]
    if "far" in result:
        far = result["far"]
        rows.append([f"a bulk packet, {far['offset']:,} bytes into its stream", f"{far['header']:.2f}"])
        words = {"first": "of the first ones", "later": "after a million"}
        for label, size in result["further"].items():
            rows.append([f"a further message of 64 bytes in a packet, {words[label]}", str(size)])
    return rows


def _coalescing(result: dict[str, Any]) -> Rows:
    rows: Rows = [["datagrams for 100 of each", "client", "server", "each write by itself: client", "server"]]
    for label, found in result["coalescing"].items():
        rows.append([label, *map(str, found["on"]), *map(str, found["off"])])
    return rows


def _acknowledging(result: dict[str, Any]) -> Rows:
    rows: Rows = [["bulk, acknowledged", "ACK packets a MB", "bytes a MB", "of the data", "without tags"]]
    words = {
        "batches": "as trains arrive together",
        "1%": "the same, 1% lost",
        "10%": "the same, 10% lost",
        "single": "as each datagram arrives alone",
        "off": "each datagram by itself",
    }
    for label, found in result["acknowledging"].items():
        shares = [f"{100 * found[share]:.2f} %" for share in ("share", "without tags")]
        rows.append([words[label], number(found["packets a MB"]), number(found["bytes a MB"]), *shares])
    return rows


def _cost(result: dict[str, Any]) -> Rows:
    cost, held = result["cost"], result["allocations"]
    rows: Rows = [["a packet", ""]]
    rows.append(["writing its headers, us", f"{cost['write us']:.3f}"])
    rows.append(["reading them, us", f"{cost['read us']:.3f}"])
    for label in ("bulk", "messages", "messages, each by itself"):
        rows.append([f"blocks of memory held while it is under way: {label}", number(held[label])])
    rows.append(["blocks more after 10 MiB than after 1 MiB, nothing under way", str(held["growth"])])
    return rows


def tables(result: dict[str, Any]) -> list[tuple[str, Rows]]:
    """Titles and tables."""
    return [
        ("Bytes of headers for each message that was sent", _headers(result)),
        ("Far into a connection", _far(result)),
        ("Coalescing", _coalescing(result)),
        ("Acknowledgements", _acknowledging(result)),
        ("Cost", _cost(result)),
    ]


def markdown(result: dict[str, Any]) -> str:
    """What stands between the markers."""
    text = "\n\n".join(f"### {title}\n\n{as_markdown(rows)}" for title, rows in tables(result))
    return f"{where(result)}\n\n{text}"


def main() -> None:
    PAGE.write_text(insert(PAGE.read_text(), markdown(json.loads(RESULTS.read_text()))))


if __name__ == "__main__":
    main()

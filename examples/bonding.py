"""One transfer over several networks at once.

    python examples/bonding.py serve [HOST:PORT]
    python examples/bonding.py ADDRESS SECONDS LOCAL...

The client sends for so long, by every one of the local addresses (of its Wi-Fi and of its cable, say), and prints
what each path carried.
"""

from __future__ import annotations

import sys
import time

import jsp

PIECE = bytes(1 << 16)


class Sink(jsp.Handler):
    """Reads, and says how much it was."""

    def handle_stream(self, stream: jsp.Stream) -> None:
        total = 0
        while data := stream.recv(1 << 20):
            total += len(data)
        stream.sendall(b"%d" % total)


def serve(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    server = jsp.Server((host, int(port)), Sink, identity=jsp.Identity.generate())
    server.start()
    print(server.url, flush=True)
    server.serve_forever()


def bond(address: str, seconds: float, locals_: list[str]) -> None:
    with jsp.connect(address, config=jsp.Config(congestion="bbr"), bind=(locals_[0], 0)) as conn:
        for local in locals_[1:]:
            conn.add_path(local)
        stream = conn.open_stream()
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            stream.sendall(PIECE)
        stream.shutdown(jsp.SHUT_WR)
        total = int(stream.recv(100))
        print(f"{total * 8 / 1e6 / (time.monotonic() - start):.1f} Mbit/s")
        for path in conn.paths:
            print(f"  {path.local[0]}: round trip {path.rtt * 1e3:.1f} ms, window {path.cwnd} bytes")


def main() -> int:
    match sys.argv[1:]:
        case ["serve"]:
            serve("0.0.0.0:4434")
        case ["serve", listen]:
            serve(listen)
        case [address, seconds, *locals_] if locals_:
            bond(address, float(seconds), locals_)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A connection that follows its machine from network to network.

    python examples/roaming.py serve [HOST:PORT]
    python examples/roaming.py ADDRESS

The client sends a message twice a second, and prints how long the answer took and where it is. Change networks
meanwhile: the connection stays.
"""

from __future__ import annotations

import sys

import gevent

import jsp

CONFIG = jsp.Config(idle_timeout=3600.0, keep_alive=20.0)


class Echo(jsp.Handler):
    """Answers each message, and says where its client is."""

    def handle_message(self, message: jsp.Message) -> None:
        self.conn.send(message.data)
        print(f"{message.data.decode()} from {self.conn.remote_address[0]}", flush=True)


def serve(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    server = jsp.Server((host, int(port)), Echo, identity=jsp.Identity.generate(), config=CONFIG)
    server.start()
    print(server.url, flush=True)
    server.serve_forever()


def roam(address: str, count: int) -> None:
    with jsp.connect(address, config=CONFIG) as conn:
        for i in range(count):
            conn.send(b"message %d" % i)
            try:
                conn.recv(timeout=5.0)
            except jsp.Timeout:
                print("nothing for five seconds; still trying", flush=True)
            print(f"{conn.stats().rtt * 1e3:.1f} ms from {conn.local_address[0]}", flush=True)
            gevent.sleep(0.5)


def main() -> int:
    match sys.argv[1:]:
        case ["serve"]:
            serve("0.0.0.0:4433")
        case ["serve", listen]:
            serve(listen)
        case [address]:
            roam(address, 1 << 30)
        case [address, count]:
            roam(address, int(count))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

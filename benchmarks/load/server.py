"""A jsp server that sends messages back, for many connections: `python -m benchmarks.load.server COUNT`."""

from __future__ import annotations

import gc
import sys

import jsp
from benchmarks.process import SERVER_CORE, pin

# Connections beyond those asked for: the first ones, which warm the server up.
_SPARE = 1000


class Echo(jsp.Handler):
    """Sends each message back."""

    def handle_message(self, message: jsp.Message) -> None:
        self.conn.send(message.data)


def main() -> None:
    pin(SERVER_CORE)
    # As docs/guide.md advises for thousands of connections.
    gc.set_threshold(10_000, 5, 1000)
    config = jsp.Config(max_connections=int(sys.argv[1]) + _SPARE, idle_timeout=None, max_datagram_size=1452)
    server = jsp.Server(("127.0.0.1", 0), Echo, identity=jsp.Identity.generate(), config=config)
    server.start()
    print("ready", server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

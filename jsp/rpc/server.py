"""`jsp.rpc.Server`: a `jsp.Server` whose connections carry calls.

Requests are read in the turn that brings them and handed to workers (`intake.py`, `workers.py`); nothing runs while
nothing happens, and an idle client costs no greenlet. What a client may have under way is bounded by the protocol, and
reading never waits for methods: cancels and credit always get through.

When a connection ends, methods that its calls run are stopped with GreenletExit, as by a cancel, since nobody is left
to take their results; notifications run to their end, as nobody waits for those anyhow. `stop` stops them all.
"""

from __future__ import annotations

from typing import Any

from gevent.pool import Pool

from jsp.config import Config
from jsp.errors import LocalError
from jsp.net import clock
from jsp.net.connection import Connection
from jsp.net.handler import Handler
from jsp.net.server import Listener
from jsp.net.server import Server as TransportServer
from jsp.net.stream import Stream
from jsp.rpc.codec import MAX_FRAME, check_max_frame
from jsp.rpc.execution import Served, execute
from jsp.rpc.intake import Intake
from jsp.rpc.lanes import rpc_config
from jsp.rpc.service import as_service
from jsp.rpc.workers import Workers


class Server(TransportServer):
    """Serves the methods of `service` on one UDP port. Lives as a `jsp.Server` does: start, stop, serve_forever.

    Args:
        listener: as for `jsp.Server`.
        service: a `Service`, or an object or a class with `@jsp.rpc.method` in it; a class is instantiated once.
        spawn: "default": as many methods at once as clients call, at most 1,000 a client; or the most of all clients
            together, as a number or as the size of a `gevent.pool.Pool` (methods run in greenlets of our own). Further
            calls wait in the order they came.
        debug: send tracebacks of exceptions to clients. They show source lines: not for strangers.
        max_frame: the largest request or reply in bytes, 1 MiB to 1 GiB.
        config: `protocols` and `max_streams` are set for RPC, the rest holds.
        options: what else `jsp.Server` takes: `identity`, `trust`.

    Raises LocalError for a service without methods and for arguments that make no sense.
    """

    def __init__(
        self,
        listener: Listener,
        service: Any,
        *,
        spawn: str | int | Pool = "default",
        debug: bool = False,
        max_frame: int = MAX_FRAME,
        config: Config | None = None,
        **options: Any,
    ) -> None:
        self.service = as_service(service)
        self.debug = debug
        self.max_frame = check_max_frame(max_frame)
        self.workers = Workers(execute, _limit(spawn))
        # Clients keep their connections alive; a server that did so too would do it for thousands.
        super().__init__(listener, Handler, config=rpc_config(config or Config()), **options)

    def serve(self, connection: Connection) -> None:
        """Run the methods that a new client calls."""
        ServedClient(connection, self)

    def stop(self, timeout: float | None = None) -> None:
        """Take no new connections, close the open ones, stop their calls, give notifications `timeout` seconds.

        Harmless when stopped. Nothing of the server is left afterwards but methods that cannot be stopped, and the
        one that calls this, if one does.
        """
        if not self.started and not self.workers.alive():
            return
        self.workers.spare()
        deadline = clock.now() + (self.stop_timeout if timeout is None else timeout)
        super().stop(timeout)
        self.workers.stop(max(0.0, deadline - clock.now()))

    close = stop


class ServedClient:
    """One client's connection."""

    def __init__(self, connection: Connection, server: Server) -> None:
        self._served = Served(connection, server.service, server.workers, server.max_frame, server.debug)
        connection.on_stream = Intake(self._served, server.max_frame).on_stream
        connection.on_untaken = _drop_messages
        connection.on_closed = self._on_closed

    def _on_closed(self, connection: Connection) -> None:
        # They lead from the connection back here: a cycle, and what is in one is freed late and dearly.
        connection.on_stream = _over
        connection.on_closed = None
        served = self._served
        for call in served.session.close():
            if call.worker is not None:
                served.workers.cancel(call)
            else:
                served.session.finish(call)
        served.start_waiting()


def _drop_messages(connection: Connection) -> None:
    """Nobody takes them, and their credit is given back."""
    connection.drop_untaken()


def _over(connection: Connection, stream: Stream) -> None:
    """What becomes of streams when the connection is over."""


def _limit(spawn: str | int | Pool) -> int | None:
    if spawn == "default":
        return None
    limit = spawn.size if isinstance(spawn, Pool) else spawn
    if limit is None or (isinstance(limit, int) and limit > 0):
        return limit
    raise LocalError("spawn: 'default', a number of methods above 0, or a gevent Pool")

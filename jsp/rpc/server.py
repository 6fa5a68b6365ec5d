"""`jsp.rpc.Server`: a `jsp.Server` whose connections carry calls.

A greenlet reads each lane and hands requests to workers (`workers.py`); nothing else runs while nothing happens, so
an idle client costs its reader. What a client may have under way is bounded by the protocol, and a reader never waits
for methods: cancels and credit always get through.

When a connection ends, methods that its calls run are stopped with GreenletExit, as by a cancel, since nobody is left
to take their results; notifications run to their end, as nobody waits for those anyhow. `stop` stops them all.
"""

from __future__ import annotations

from typing import Any

from gevent.pool import Pool

from jsp.config import Config
from jsp.errors import ConnectionClosed, LocalError
from jsp.net import clock
from jsp.net.handler import Handler
from jsp.net.server import Listener
from jsp.net.server import Server as TransportServer
from jsp.net.stream import Stream
from jsp.rpc.codec import MAX_FRAME, check_max_frame
from jsp.rpc.errors import BadFrame
from jsp.rpc.execution import Served, execute
from jsp.rpc.intake import Intake
from jsp.rpc.lanes import close_for, read_lane, rpc_config
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
        server = self

        class PerConnection(CallHandler):
            rpc = server

        # Clients keep their connections alive; a server that did so too would do it for thousands.
        super().__init__(listener, PerConnection, config=rpc_config(config or Config()), **options)

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


class CallHandler(Handler):
    """One client's connection."""

    rpc: Server

    def setup(self) -> None:
        server = self.rpc
        self._served = Served(self.conn, server.service, server.workers, server.max_frame, server.debug)

    def handle_stream(self, stream: Stream) -> None:
        try:
            read_lane(stream, self.rpc.max_frame, Intake(self._served, self.rpc.max_frame).on_frames)
        except ConnectionClosed:
            pass
        except BadFrame as error:
            close_for(self.conn, error)

    def finish(self) -> None:
        served = self._served
        for call in served.session.close():
            if call.worker is not None:
                served.workers.cancel(call)
            else:
                served.session.finish(call)
        served.start_waiting()


def _limit(spawn: str | int | Pool) -> int | None:
    if spawn == "default":
        return None
    limit = spawn.size if isinstance(spawn, Pool) else spawn
    if limit is None or (isinstance(limit, int) and limit > 0):
        return limit
    raise LocalError("spawn: 'default', a number of methods above 0, or a gevent Pool")

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
from jsp.rpc.codec import CANCEL, MAX_FRAME, Frame, check_max_frame
from jsp.rpc.errors import BadFrame, ErrorCode
from jsp.rpc.execution import Served, execute
from jsp.rpc.lanes import SMALL, close_for, read_lane, rpc_config
from jsp.rpc.service import as_service
from jsp.rpc.session import is_request
from jsp.rpc.turns import give_way
from jsp.rpc.workers import Workers

# Seconds that a reader starts methods before others have a turn: as long as gevent's loop runs what is ready.
_TURN = 0.005


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
            read_lane(stream, self.rpc.max_frame, self._on_frames)
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

    def _on_frames(self, frames: list[Frame]) -> None:
        # What methods answer at once leaves together, when all of these have had their turn.
        lanes = self._served.lanes
        lanes.cork()
        turn_over = clock.now() + _TURN
        try:
            for kind, call_id, payload in frames:
                if is_request(kind):
                    self._on_request(kind, call_id, payload)
                elif kind == CANCEL:
                    self._on_cancel(call_id, payload)
                else:
                    call = self._served.session.handle_frame(kind, call_id, payload)
                    if call is not None and call.signal is not None:
                        call.signal.notify()
                if clock.now() > turn_over:
                    lanes.uncork()
                    give_way()
                    lanes.cork()
                    turn_over = clock.now() + _TURN
        finally:
            lanes.uncork()

    def _on_request(self, kind: int, call_id: int, payload: bytes | None) -> None:
        if payload is None:
            text = f"a request larger than the server's max_frame ({self.rpc.max_frame})"
            self._refuse(call_id, ErrorCode.TOO_LARGE, text)
            return
        call = self._served.session.handle_request(kind, call_id, payload)
        if call is not None:
            self._served.workers.start(call)

    def _on_cancel(self, call_id: int, payload: bytes | None) -> None:
        call = self._served.session.handle_cancel(call_id, payload)
        if call is not None and call.worker is not None:
            self._served.workers.cancel(call)
            return
        if call is not None:
            self._served.finish(call)
        self._refuse(call_id, ErrorCode.CANCELLED, "stopped before it began")

    def _refuse(self, call_id: int, code: ErrorCode, words: str) -> None:
        self._served.lanes.send(SMALL, self._served.refusal(call_id, code, words))


def _limit(spawn: str | int | Pool) -> int | None:
    if spawn == "default":
        return None
    limit = spawn.size if isinstance(spawn, Pool) else spawn
    if limit is None or (isinstance(limit, int) and limit > 0):
        return limit
    raise LocalError("spawn: 'default', a number of methods above 0, or a gevent Pool")

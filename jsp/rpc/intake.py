# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What comes from a client, frame by frame: the start of calls, cancels, and news for those that run.

Lanes are read in the loop's own greenlet, which hands what it read to a worker, who sees to one frame after the other
and runs methods as they come, without a switch from one to the next. When a method waits its worker is lost to the
others, and another one sees to the rest.
"""

from __future__ import annotations

from typing import Any

from gevent import get_hub

import jsp.rpc.session as session
from jsp.net import clock
from jsp.net.connection import Connection
from jsp.net.stream import Stream
from jsp.rpc.codec import CANCEL, Frame
from jsp.rpc.errors import BadFrame, ErrorCode
from jsp.rpc.execution import Served
from jsp.rpc.lanes import SMALL, Listener, close_for
from jsp.rpc.workers import Worker

_CANCEL = CANCEL
_SMALL = SMALL

# Seconds that methods are run before others have a turn: as long as gevent's loop runs what is ready.
_TURN = 0.005


class Intake:
    """The frames of one client.

    Args:
        served: its connection.
        max_frame: the largest frame taken, for what it is told.
    """

    __slots__ = ("_at", "_error", "_frames", "_listener", "_max", "_served", "_timer", "_turn_over")

    def __init__(self, served: Served, max_frame: int) -> None:
        self._served = served
        self._max = max_frame
        # Those that came together, and how many of them have been seen to.
        self._frames: list[Frame] = []
        self._at = 0
        self._turn_over = 0.0
        self._error: BadFrame | None = None
        self._timer: Any = None
        self._listener = Listener(max_frame, self.on_frames, self._refuse_client)

    def on_stream(self, connection: Connection, stream: Stream) -> None:
        """The client opened a lane."""
        self._listener.open(stream)

    def on_frames(self, frames: list[Frame]) -> None:
        """See to frames, in the hub. Raises BadFrame."""
        self._frames = frames
        self._at = 0
        self._work_on()

    def _work_on(self) -> None:
        lanes = self._served.lanes
        self._turn_over = clock.now() + _TURN
        # A worker whose method waited leaves the rest to another one, and with it what others have answered.
        while self._at < len(self._frames) or (lanes.is_corked() and not self._served.connection.closed):
            self._served.workers.lead(self)
            if self._error is not None:
                raise self._error
            if self._at < len(self._frames) and clock.now() > self._turn_over:
                self._give_way()
                return

    def _give_way(self) -> None:
        """Read and run nothing more until the loop has had a turn: sockets are read, timers fire, others run."""
        self._listener.held = True
        self._timer = get_hub().loop.timer(0.0)
        self._timer.start(self._go_on)

    def _go_on(self) -> None:
        timer, self._timer = self._timer, None
        timer.close()
        self._listener.held = False
        try:
            self._work_on()
        except BadFrame as error:
            self._refuse_client(error)
            return
        if not self._listener.held:
            self._listener.read()

    def work(self, worker: Worker) -> None:
        """See to what is left, in the greenlet of `worker`, until a method waits or it is time for others."""
        lanes = self._served.lanes
        # What methods answer at once leaves together, when all of these have had their turn.
        lanes.cork()
        frames = self._frames
        try:
            while self._at < len(frames):
                kind, call_id, payload = frames[self._at]
                self._at += 1
                self._on_frame(worker, kind, call_id, payload)
                if worker.starter is None:
                    return
                if clock.now() > self._turn_over:
                    break
        except BadFrame as error:
            self._error = error
        lanes.end_turn()

    def _refuse_client(self, error: BadFrame) -> None:
        close_for(self._served.connection, error)

    def _on_frame(self, worker: Worker, kind: int, call_id: int, payload: bytes | None) -> None:
        served = self._served
        if session.is_request(kind):
            if payload is None:
                text = f"a request larger than the server's max_frame ({self._max})"
                self._refuse(call_id, ErrorCode.TOO_LARGE, text)
                return
            call = served.session.handle_request(kind, call_id, payload)
            if call is not None:
                served.workers.run(worker, call)
        elif kind == _CANCEL:
            self._on_cancel(call_id, payload)
        else:
            call = served.session.handle_frame(kind, call_id, payload)
            if call is not None and call.signal is not None:
                call.signal.notify()

    def _on_cancel(self, call_id: int, payload: bytes | None) -> None:
        served = self._served
        call = served.session.handle_cancel(call_id, payload)
        if call is not None and call.worker is not None:
            served.workers.cancel(call)
            return
        if call is not None:
            served.finish(call)
        self._refuse(call_id, ErrorCode.CANCELLED, "stopped before it began")

    def _refuse(self, call_id: int, code: ErrorCode, words: str) -> None:
        self._served.lanes.send(_SMALL, self._served.refusal(call_id, code, words))

"""One end of a running test: greenlets that write, greenlets that read, and what they counted.

Both ends run the same code; the plan says which of them send. Writers send the same immutable block again and
again, so that the library copies it once, into the packet; readers read into one buffer that is kept. Everything
that is counted is counted by the application's own hands: what was taken from it, what was given to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from socket import SHUT_WR
from typing import Any

import gevent
from gevent import Greenlet
from gevent.event import Event

import jsp
from jsp.cli.common import CommandError
from jsp.cli.perf_plan import MODES, STALL, Control, Plan
from jsp.net import clock

_BUFFER = 256 * 1024

# The send queue takes thousands of small messages at once: between them, timers and arrivals must have their turn.
_MESSAGES_A_TURN = 256

# Messages that may be lost are over when none came for this long after the other end had sent the last one.
_QUIET = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """How far things were at a moment.

    Attributes:
        time: seconds since the test began.
        sent, received: bytes of each stream, or of all messages; those still in the send buffer do not count.
        messages_sent, messages_received: how many.
        lost: packets that this end had to send again, since the test began.
        rtt, rtt_variance: seconds.
        cwnd, mtu: bytes.
    """

    time: float
    sent: tuple[int, ...]
    received: tuple[int, ...]
    messages_sent: int
    messages_received: int
    lost: int
    rtt: float
    rtt_variance: float
    cwnd: int
    mtu: int


@dataclass(slots=True)
class Result:
    """What one end has to say when the test is over; the same names are the JSON that is exchanged.

    Attributes:
        sent, received: bytes of each stream, or of all messages.
        messages_sent, messages_received: how many.
        seconds_sending: from the beginning to the last write.
        seconds_receiving: from the beginning to the last byte read.
        retransmits: packets lost and sent again.
        rtt_min, rtt_mean, rtt_max: seconds.
        cwnd_max: bytes.
        cpu_user, cpu_system: percent of one processor.
    """

    sent: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    messages_sent: int = 0
    messages_received: int = 0
    seconds_sending: float = 0.0
    seconds_receiving: float = 0.0
    retransmits: int = 0
    rtt_min: float = 0.0
    rtt_mean: float = 0.0
    rtt_max: float = 0.0
    cwnd_max: int = 0
    cpu_user: float = 0.0
    cpu_system: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The result as it is sent."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Result:
        """The result the other end sent; CommandError when it is none."""
        if not isinstance(value, dict) or value.keys() != asdict(cls()).keys():
            raise CommandError("the other end's result has other parts than ours")
        lists = (value["sent"], value["received"])
        plain = [v for name, v in value.items() if name not in ("sent", "received")]
        if not all(isinstance(part, list) for part in lists):
            raise CommandError("the other end's result is damaged")
        if not all(isinstance(number, (int, float)) for part in (*lists, plain) for number in part):
            raise CommandError("the other end's result is damaged")
        return cls(**value)


class Load:
    """One end of a test on an open connection.

    Args:
        connection: where.
        plan: what.
        sends, receives: which part of it is ours.
        streams: the data streams; none for a test of messages.
        interval: seconds between samples.
        on_sample: gets each sample as it is taken, with the one before it.
    """

    def __init__(
        self,
        connection: jsp.Connection,
        plan: Plan,
        *,
        sends: bool,
        receives: bool,
        streams: Sequence[jsp.Stream],
        interval: float = 1.0,
        on_sample: Callable[[Sample, Sample], None] = lambda before, now: None,
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._sends = sends
        self._receives = receives
        self._streams = streams
        self._interval = interval
        self._on_sample = on_sample
        lanes = max(1, len(streams))
        self._written = [0] * lanes
        self._read = [0] * lanes
        self._messages_sent = 0
        self._messages_received = 0
        self._expected = -1
        self._sending = True
        self._begin = self._last_write = self._last_read = clock.now()
        self._lost_before = connection.stats().packets_lost
        self._samples: list[Sample] = []
        self._failure: OSError | None = None
        self._failed = Event()

    def run(self, control: Control) -> tuple[Result, Result]:
        """Run the test to its end; what this end and what the other end counted.

        Raises OSError when the connection or a stream breaks, CommandError when the other end says nonsense.
        """
        self._begin = self._last_write = self._last_read = clock.now()
        cpu = os.times()
        writers, readers = self._start()
        sampler = gevent.spawn(self._sample)
        try:
            if self._sends:
                self._failed.wait(self._plan.time)
            self._sending = False
            gevent.joinall(writers)
            self._check()
            control.write(sent=self._messages_sent)
            expected = control.read("sent")
            if self._plan.messages:
                self._finish_messages(readers, expected)
            gevent.joinall(readers)
            self._check()
            control.write(received=True)
            control.read("received")
        finally:
            gevent.killall([sampler, *writers, *readers])
        self._take_sample(last=True)
        mine = self._result(cpu)
        control.write(result=mine.to_json())
        return mine, Result.from_json(control.read("result"))

    def _start(self) -> tuple[list[Greenlet[..., None]], list[Greenlet[..., None]]]:
        """The greenlets that write and those that read."""
        spawn = gevent.spawn
        if self._plan.messages:
            writers = [spawn(self._guard, self._write_messages)] if self._sends else []
            readers = [spawn(self._guard, self._read_messages)] if self._receives else []
            return writers, readers
        lanes = list(enumerate(self._streams))
        for stream in self._streams:
            stream.settimeout(STALL)
        writers = [spawn(self._guard, self._write_stream, lane, stream) for lane, stream in lanes]
        readers = [spawn(self._guard, self._read_stream, lane, stream) for lane, stream in lanes]
        return writers, readers

    def _guard(self, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except OSError as error:
            # One broken connection is many broken streams: the first word is enough.
            self._failure = self._failure or error
            self._failed.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- the work ------------------------------------------------------------------------------------------

    def _write_stream(self, lane: int, stream: jsp.Stream) -> None:
        if self._sends:
            block = os.urandom(self._plan.length)
            while self._sending:
                stream.sendall(block)
                self._written[lane] += len(block)
            self._last_write = clock.now()
        stream.shutdown(SHUT_WR)

    def _read_stream(self, lane: int, stream: jsp.Stream) -> None:
        buffer = bytearray(_BUFFER)
        while size := stream.recv_into(buffer):
            self._read[lane] += size
            self._last_read = clock.now()

    def _write_messages(self) -> None:
        send = self._connection.send
        mode = MODES[self._plan.mode]
        message = os.urandom(self._plan.messages)
        while self._sending:
            send(message, mode)
            self._messages_sent += 1
            if not self._messages_sent % _MESSAGES_A_TURN:
                gevent.sleep(0)
            self._written[0] += len(message)
        self._last_write = clock.now()

    def _read_messages(self) -> None:
        recv = self._connection.recv
        while self._messages_received != self._expected:
            self._read[0] += len(recv())
            self._messages_received += 1
            self._last_read = clock.now()

    def _finish_messages(self, readers: list[Greenlet[..., None]], expected: object) -> None:
        """The other end has sent `expected` messages: wait for the rest of them."""
        if not isinstance(expected, int):
            raise CommandError("the other end did not say how many messages it sent")
        self._expected = expected
        certain = self._plan.mode == "reliable"
        while self._messages_received < expected:
            before = self._messages_received
            gevent.joinall(readers, timeout=STALL if certain else _QUIET)
            self._check()
            if before == self._messages_received:
                break
        if certain and self._messages_received < expected:
            raise CommandError(f"{expected - self._messages_received} messages never came")
        gevent.killall(readers)

    # --- what is counted -----------------------------------------------------------------------------------

    def _sample(self) -> None:
        number = 0
        while True:
            number += 1
            gevent.sleep(max(0.0, self._begin + number * self._interval - clock.now()))
            self._take_sample()

    def _take_sample(self, last: bool = False) -> None:
        stats = self._connection.stats()
        waiting = [max(0, stream.inner.send.unsent()) if stream.inner.send else 0 for stream in self._streams] or [0]
        sample = Sample(
            time=clock.now() - self._begin,
            sent=tuple(written - unsent for written, unsent in zip(self._written, waiting, strict=True)),
            received=tuple(self._read),
            messages_sent=self._messages_sent,
            messages_received=self._messages_received,
            lost=stats.packets_lost - self._lost_before,
            rtt=stats.rtt,
            rtt_variance=stats.rtt_variance,
            cwnd=stats.cwnd,
            mtu=stats.mtu,
        )
        nothing = (0,) * len(self._written)
        before = self._samples[-1] if self._samples else Sample(0.0, nothing, nothing, 0, 0, 0, 0.0, 0.0, 0, 0)
        self._samples.append(sample)
        # The last interval is a short one; when it saw nothing it is not worth a line.
        if not last or (sample.sent, sample.received, sample.lost) != (before.sent, before.received, before.lost):
            self._on_sample(before, sample)

    def _result(self, cpu: os.times_result) -> Result:
        now = os.times()
        seconds = max(1e-9, now.elapsed - cpu.elapsed)
        rtts = [sample.rtt for sample in self._samples]
        return Result(
            sent=list(self._written),
            received=list(self._read),
            messages_sent=self._messages_sent,
            messages_received=self._messages_received,
            seconds_sending=self._last_write - self._begin,
            seconds_receiving=self._last_read - self._begin,
            retransmits=self._samples[-1].lost,
            rtt_min=min(rtts),
            rtt_mean=sum(rtts) / len(rtts),
            rtt_max=max(rtts),
            cwnd_max=max(sample.cwnd for sample in self._samples),
            cpu_user=100 * (now.user - cpu.user) / seconds,
            cpu_system=100 * (now.system - cpu.system) / seconds,
        )

"""The server: its life, its bounds, and clients that do not keep to the protocol."""

from __future__ import annotations

import logging
import time
from typing import Any

import gevent
import pytest
from gevent.pool import Pool

import jsp
import jsp.rpc
from jsp.rpc import codec
from jsp.rpc.codec import CALL, CALLS_MAX, CANCEL, CREDIT, END, ERROR, FEEDS, ITEM, REPLY, STREAM
from jsp.rpc.errors import CloseCode, parse_error
from tests.rpc.support import IDENTITY, LOOPBACK, Bench, Methods, RawClient, nothing_left, pair, serving, until


class Counter:
    def __init__(self) -> None:
        self.value = 0

    @jsp.rpc.method
    def up(self, by: int = 1) -> int:
        self.value += by
        return self.value


# --- life --------------------------------------------------------------------------------------------------------


def test_life_cycle_words() -> None:
    server = jsp.rpc.Server(LOOPBACK, Counter(), identity=IDENTITY)
    assert server.closed
    for _ in range(2):
        with server:
            server.start()
            assert server.started and server.address[1] and server.url.startswith("jsp1")
            with jsp.rpc.connect(server.url) as client:
                assert client.call("up") > 0
        server.stop()
        assert not server.started


def test_serve_forever_ends_with_stop() -> None:
    server = jsp.rpc.Server(LOOPBACK, Counter, identity=IDENTITY)
    serving_ = gevent.spawn(server.serve_forever)
    until(lambda: server.started)
    with jsp.rpc.connect(server.url) as client:
        assert client.proxy.up(5) == 5
    server.close()
    serving_.get(timeout=5)
    assert serving_.successful()


def test_nothing_survives_stop() -> None:
    bench = Bench()
    with nothing_left():
        server = jsp.rpc.Server(LOOPBACK, Methods(bench), identity=IDENTITY)
        server.start()
        client = jsp.rpc.connect(server.url)
        calls = [client.submit("wait", f"call {i}") for i in range(3)]
        stream = client.stream("drip", 5)
        assert next(stream) == 0
        client.notify("wait", "note")
        until(lambda: bench.running == 4)
        server.stop(0.1)
        assert bench.running == 0
        assert set(bench.log) == {"GreenletExit", "note GreenletExit", *(f"call {i} GreenletExit" for i in range(3))}
        for future in calls:
            with pytest.raises(jsp.ConnectionClosed):
                future.result()
        with pytest.raises(jsp.ConnectionClosed):
            next(stream)
        client.close()


def test_a_method_may_stop_the_server() -> None:
    bench = Bench()
    with nothing_left():
        service = jsp.rpc.Service()
        server = jsp.rpc.Server(LOOPBACK, service, identity=IDENTITY)

        @service.method
        def stop() -> None:
            server.stop(0.1)
            bench.log.append("stopped")

        server.start()
        with jsp.rpc.connect(server.url) as client, pytest.raises(jsp.ConnectionClosed):
            client.call("stop", timeout=5)
        until(lambda: bench.log)
        assert bench.log == ["stopped"] and server.closed


@pytest.mark.parametrize(
    "options",
    [{"spawn": 0}, {"spawn": "many"}, {"spawn": Pool(0)}, {"max_frame": 10}, {"service": object()}, {"nonsense": 1}],
    ids=lambda o: next(iter(o)),
)
def test_arguments_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises((jsp.LocalError, TypeError)):
        jsp.rpc.Server(LOOPBACK, **{"service": Counter(), **options})


def test_trust_and_key_are_those_of_any_server() -> None:
    trust = jsp.Trust.access_key(bytes(16))
    with serving(Counter(), trust=trust) as server:
        with jsp.rpc.connect(server.url) as client:
            assert client.call("up") == 1
        with pytest.raises(jsp.AccessDenied):
            jsp.rpc.connect(LOOPBACK[:1] + server.address[1:], trust=jsp.Trust.pinned(IDENTITY.peer_id))


def test_other_protocols_are_refused() -> None:
    with serving() as server, pytest.raises(jsp.ConnectFailed, match="application protocol"):
        jsp.connect(server.url)


# --- concurrency -------------------------------------------------------------------------------------------------


def test_a_slow_method_blocks_nobody() -> None:
    with pair() as client:
        slow = client.submit("sleep", 10)
        assert client.call("add", 2, 3, timeout=1) == 5
        assert not slow.done()


def test_methods_that_compute_leave_turns_to_others() -> None:
    order: list[str] = []
    service = jsp.rpc.Service()

    def other() -> None:
        while True:
            order.append("other")
            gevent.sleep(0.001)

    @service.method
    def compute() -> None:
        end = time.monotonic() + 0.004
        while time.monotonic() < end:
            pass
        order.append("method")

    with serving(service) as server, RawClient(server.url) as raw:
        raw.lane.sendall(b"".join(raw.encoder.frame(CALL, i, ["compute", [], {}]) for i in range(20)))
        watching = gevent.spawn(other)
        until(lambda: order.count("method") == 20)
        watching.kill()
    runs = "".join(word[0] for word in order).strip("o").split("o")
    assert max(map(len, runs)) <= 8, "a batch of requests was run in one go"


@pytest.mark.parametrize("spawn", [3, Pool(3)])
def test_spawn_bounds_all_clients_together(spawn: Any) -> None:
    bench = Bench()
    server = jsp.rpc.Server(LOOPBACK, Methods(bench), identity=IDENTITY, spawn=spawn)
    with server, jsp.rpc.connect(server.url) as one, jsp.rpc.connect(server.url) as two:
        futures = [client.submit("wait", str(i)) for i in range(4) for client in (one, two)]
        until(lambda: bench.running == 3)
        gevent.sleep(0.01)
        assert bench.running == 3
        bench.gate.set()
        assert sorted(f.result(5) for f in futures) == sorted([str(i) for i in range(4)] * 2)
        assert bench.most == 3


def test_cancel_while_waiting_for_a_turn() -> None:
    bench = Bench()
    with serving(Methods(bench), spawn=1) as server, RawClient(server.url) as raw:
        for call in (1, 2):
            raw.send(CALL, call, ["wait", [str(call)], {}])
        raw.lane.sendall(codec.bare_frame(CANCEL, 2))
        assert raw.receive()[:2] == (ERROR, 2)
        bench.gate.set()
        assert raw.receive()[:2] == (REPLY, 1)
        raw.send(CALL, 3, ["add", [1], {}])
        assert raw.receive()[:2] == (REPLY, 3)
        assert bench.log == ["1 done"]


def test_the_most_calls_at_once_and_one_more_waits() -> None:
    bench = Bench()
    with pair(bench) as client:
        futures = [client.submit("wait", "x") for _ in range(CALLS_MAX)]
        extra = gevent.spawn(client.call, "add", 1)
        until(lambda: bench.running == CALLS_MAX)
        assert not extra.dead
        bench.gate.set()
        assert extra.get(timeout=5) == 2
        assert all(f.result(5) == "x" for f in futures)


def test_calls_that_take_much_memory_take_turns() -> None:
    bench = Bench()
    with pair(bench) as client:
        # Each may be 100 MB once unpacked.
        numbers = [0] * 1_250_000
        waiting = client.submit("wait", "small")
        until(lambda: bench.running)
        futures = [client.submit("note", numbers) for _ in range(3)]
        for future in futures:
            future.result(10)
        assert [len(v) for v in bench.log] == [len(numbers)] * 3
        bench.gate.set()
        assert waiting.result(5) == "small"


# --- the end of a connection -------------------------------------------------------------------------------------


def test_calls_stop_and_notifications_go_on_when_the_client_goes() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server:
        client = jsp.rpc.connect(server.url)
        client.submit("wait", "call")
        client.notify("wait", "note")
        until(lambda: bench.running == 2)
        client.connection.abort()
        until(lambda: bench.log)
        assert bench.log == ["call GreenletExit"]
        bench.gate.set()
        until(lambda: len(bench.log) == 2)
        assert bench.log[1] == "note done"


def test_calls_that_wait_for_a_turn_are_dropped_when_the_client_goes() -> None:
    bench = Bench()
    with serving(Methods(bench), spawn=1) as server:
        client = jsp.rpc.connect(server.url)
        client.submit("wait", "first")
        client.submit("wait", "second")
        client.notify("note", "third")
        until(lambda: bench.running == 1)
        [connection] = server.connections()
        client.connection.abort()
        until(lambda: len(bench.log) == 2)
        assert bench.log == ["first GreenletExit", "third"] and connection.closed


def test_notifications_arrive_when_the_client_leaves_at_once() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server:
        with jsp.rpc.connect(server.url) as client:
            for i in range(100):
                client.notify("note", i)
        until(lambda: len(bench.log) == 100)
        assert bench.log == list(range(100))


# --- peers that do not keep to the protocol ----------------------------------------------------------------------


def frame(kind: int, call: int, payload: bytes) -> bytes:
    return (len(payload) + 5).to_bytes(4, "big") + bytes([kind]) + call.to_bytes(4, "big") + payload


SLEEP = b"\x93\xa5sleep\x91\x0a\x80"
DRIP = b"\x93\xa4drip\x91\x0a\x80"

MALFORMED = {
    "too short": b"\x00\x00\x00\x04" + bytes(9),
    "unknown kind": frame(10, 1, b""),
    "a server's kind": frame(REPLY, 1, b"\xc0"),
    "an error": frame(ERROR, 1, b"\xc0"),
    "no MessagePack": frame(CALL, 1, b"\xc1"),
    "no request": frame(CALL, 1, b"\x93\x01\x90\x80"),
    "extension": frame(CALL, 1, b"\x93\xa1m\x91\xd4\x07a\x80"),
    "cancel with payload": frame(CANCEL, 1, b"\xc0"),
    "notification with a streamed argument": frame(2 + FEEDS, 1, b"\x93\xa1m\x91\xc7\x00\x01\x80"),
    "streamed argument missing": frame(CALL + FEEDS, 1, b"\x93\xa1m\x90\x80"),
    "same number twice": 2 * frame(CALL, 1, SLEEP),
    "items for a call that has none": frame(CALL, 1, SLEEP) + frame(ITEM, 1, b"\xc0"),
    "an end after the end": frame(CALL + FEEDS, 1, b"\x93\xa4wait\x91\xc7\x00\x01\x80") + 2 * frame(END, 1, b""),
    "credit for nothing": frame(CALL, 1, SLEEP) + frame(CREDIT, 1, b"\x01"),
    "credit beyond what was spent": frame(STREAM, 1, DRIP) + frame(CREDIT, 1, b"\xce\x7f\xff\xff\xff"),
    "credit of zero": frame(STREAM, 1, DRIP) + frame(CREDIT, 1, b"\x00"),
}  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_frames_close_the_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server, RawClient(server.url) as raw, caplog.at_level(logging.WARNING, "jsp.rpc"):
        raw.lane.sendall(data)
        code, reason = raw.closed_with()
        assert code == CloseCode.MALFORMED and reason
        [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert record.getMessage().startswith("closed a connection (peer 127.0.0.1)")


def test_a_lane_that_ends_closes_the_connection() -> None:
    with serving() as server, RawClient(server.url) as raw:
        raw.lane.close()
        assert raw.closed_with() == (CloseCode.MALFORMED, "a lane ended before its connection")


def test_a_bidirectional_lane_closes_the_connection() -> None:
    with serving() as server, RawClient(server.url) as raw:
        raw.connection.open_stream()
        assert raw.closed_with()[0] == CloseCode.MALFORMED


def test_too_many_calls_close_the_connection() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server, RawClient(server.url) as raw:
        raw.lane.sendall(b"".join(raw.encoder.frame(CALL, i, ["wait", ["x"], {}]) for i in range(CALLS_MAX + 1)))
        assert raw.closed_with()[0] == CloseCode.LIMIT
        until(lambda: bench.running == 0)


def test_items_beyond_the_credit_close_the_connection() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server, RawClient(server.url) as raw:
        raw.lane.sendall(frame(CALL + FEEDS, 1, b"\x93\xa4wait\x91\xc7\x00\x01\x80"))
        raw.lane.sendall(frame(ITEM, 1, b"\xc0") * 17_000)
        assert raw.closed_with()[0] == CloseCode.LIMIT


def test_a_frame_that_is_too_large_fails_alone() -> None:
    with serving(max_frame=codec.MIB) as server, RawClient(server.url) as raw:
        raw.send(CALL, 1, ["size", [bytes(codec.MIB)], {}])
        raw.send(CALL, 2, ["add", [1], {}])
        kind, call, payload = raw.receive()
        error = parse_error(codec.decode(payload))
        assert (kind, call, type(error)) == (ERROR, 1, jsp.rpc.TooLarge)
        assert raw.receive() == (REPLY, 2, b"\x02")


def test_a_message_cannot_blow_up() -> None:
    count = 3_000_000
    with serving() as server, RawClient(server.url) as raw:
        payload = b"\x93\xa4note\x91\xdd" + count.to_bytes(4, "big") + b"\x80" * count + b"\x80"
        raw.lane.sendall(frame(CALL, 1, payload))
        kind, call, answer = raw.receive()
        error = parse_error(codec.decode(answer))
        assert (kind, call, type(error)) == (ERROR, 1, jsp.rpc.TooLarge)


def test_a_client_that_does_not_read_holds_up_only_itself() -> None:
    ran: list[int] = []
    service = jsp.rpc.Service()

    @service.method
    def blob(number: int) -> bytes:
        ran.append(number)
        return bytes(12 << 20)

    with serving(service) as server, RawClient(server.url) as raw, jsp.rpc.connect(server.url) as client:
        for number in range(30):
            raw.send(CALL, number, ["blob", [number], {}])
        until(lambda: len(ran) > 5)
        for _ in range(5):
            assert client.call("jsp.echo", 1, timeout=2) == 1
        # What the client does not take is held, up to 128 MB of it, and then no more is made.
        assert len(ran) < 15

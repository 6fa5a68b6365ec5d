"""The client: calls of every kind, time limits, cancels, and what happens when the connection goes."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

import jsp
import jsp.rpc
from jsp.rpc import codec
from jsp.rpc.codec import CALL, CALLS_MAX, ITEM, REPLY, Encoder, Framer
from jsp.rpc.errors import CloseCode
from jsp.rpc.lanes import rpc_config
from tests.rpc.support import IDENTITY, LOOPBACK, Bench, Methods, nothing_left, pair, quiet, serving, until

# --- calls -------------------------------------------------------------------------------------------------------


def test_calls_in_every_form() -> None:
    with pair() as client:
        assert client.call("add", 2, 3) == 5
        assert client.call("add", 2, b=4) == 6
        assert client.proxy.add(2, b=5) == 7
        assert client.submit("add", 2, 6).result() == 8
        assert client.call("jsp.echo", {"a": [1, None, b"x"]}) == {"a": [1, None, b"x"]}
        assert client.peer == IDENTITY.peer_id
        assert not client.closed
        assert quiet(client)
    assert client.closed


def test_methods_are_listed() -> None:
    with pair() as client:
        listed = {info.name: info for info in client.methods()}
        assert listed["add"] == jsp.rpc.MethodInfo("add", "(a: 'int', b: 'int' = 1) -> 'int'", "Adds.", False)
        assert listed["count"].streams and "jsp.methods" not in listed


def test_proxy_has_dotted_names_and_passes_for_nothing_else() -> None:
    service = jsp.rpc.Service()
    service.method(name="log.tail")(lambda timeout, method: [timeout, method])
    with serving(service) as server, jsp.rpc.connect(server.url) as client:
        assert client.proxy.log.tail(timeout=5, method=6) == [5, 6]
        with pytest.raises(AttributeError):
            client.proxy.__wrapped__  # noqa: B018
        assert repr(copy.copy(client.proxy)) == "<jsp.rpc.Proxy >"


def test_keywords_that_are_ours_go_to_the_method_with_submit() -> None:
    service = jsp.rpc.Service()
    service.method(name="m")(lambda timeout, method, self: [timeout, method, self])
    with serving(service) as server, jsp.rpc.connect(server.url) as client:
        assert client.submit("m", timeout=1, method=2, self=3).result() == [1, 2, 3]
        with pytest.raises(jsp.rpc.BadArguments):
            client.call("m", timeout=1, method=2, self=3)


def test_many_callers_share_the_connection() -> None:
    with pair() as client:
        callers = [gevent.spawn(client.call, "add", i, i) for i in range(500)]
        assert [caller.get(timeout=5) for caller in callers] == [2 * i for i in range(500)]
        # A reader and no greenlet a call: two streams in all.
        assert len(client.connection.core.streams.streams) == 2
        assert quiet(client)


def test_replies_come_in_any_order() -> None:
    with pair() as client:
        slow, fast = client.submit("sleep", 0.05), client.submit("add", 1)
        assert fast.result(1) == 2
        assert not slow.done()
        assert slow.result(1) == "slept"


def test_large_arguments_and_results() -> None:
    with pair() as client:
        data = bytes(5 << 20)
        assert client.call("size", data) == len(data)
        assert client.call("blob", 5 << 20) == data


def test_large_payloads_do_not_hold_up_small_calls() -> None:
    with pair() as client:
        client.call("add", 1)
        large = [client.submit("blob", 15 << 20) for _ in range(3)]
        answered = 0
        while not all(f.done() for f in large):
            client.call("add", 1, timeout=1)
            answered += 1
        assert answered > 20


def test_arguments_that_cannot_be_sent() -> None:
    with pair(max_frame=codec.MIB) as client:
        for bad in (object(), 2**64, [iter([1])]):
            with pytest.raises(jsp.rpc.Unserialisable):
                client.call("note", bad)
        with pytest.raises(jsp.rpc.Unserialisable):
            client.call("note", iter([1]), iter([2]))
        with pytest.raises(jsp.rpc.TooLarge):
            client.call("note", bytes(17 << 20))
        with pytest.raises(jsp.rpc.TooLarge, match="max_frame"):
            client.call("note", bytes(2 << 20))
        with pytest.raises(jsp.LocalError):
            client.call(5)  # type: ignore[arg-type]
        assert client.call("add", 1) == 2
        assert quiet(client)


def test_results_larger_than_the_client_takes() -> None:
    with serving() as server, jsp.rpc.connect(server.url, max_frame=codec.MIB) as client:
        with pytest.raises(jsp.rpc.TooLarge, match="max_frame"):
            client.call("blob", 2 << 20)
        assert client.call("add", 1) == 2


# --- time --------------------------------------------------------------------------------------------------------


def test_timeout_stops_the_method_on_the_server() -> None:
    bench = Bench()
    with pair(bench) as client:
        begin = time.monotonic()
        with pytest.raises(jsp.Timeout, match=r"wait: no result within 0\.05 s") as caught:
            client.call("wait", "x", timeout=0.05)
        assert isinstance(caught.value, TimeoutError)
        assert time.monotonic() - begin < 1
        until(lambda: bench.log == ["x GreenletExit"])
        until(lambda: quiet(client))


def test_time_limit_counts_from_the_call() -> None:
    with pair() as client:
        client.call("add", 1)
        # The loop's idea of the time is out of date after this.
        gevent.sleep(0.001)
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            pass
        assert client.call("sleep", 0.05, timeout=0.3) == "slept"


def test_default_time_limit() -> None:
    with pair() as client:
        client.timeout = 0.02
        calls: list[Callable[[], Any]] = [
            lambda: client.call("sleep", 10),
            lambda: client.proxy.sleep(10),
            lambda: client.submit("sleep", 10).result(),
        ]
        for call in calls:
            with pytest.raises(jsp.Timeout):
                call()
        assert client.call("sleep", 0.05, timeout=float("inf")) == "slept"


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all(timeout: float) -> None:
    with pair() as client, pytest.raises(jsp.Timeout):
        client.call("sleep", 1, timeout=timeout)


def test_a_timer_does_not_outlive_its_call() -> None:
    with pair() as client:
        assert client.call("add", 1, timeout=0.02) == 2
        gevent.sleep(0.04)


def test_timeout_while_waiting_for_room() -> None:
    bench = Bench()
    with pair(bench) as client:
        futures = [client.submit("wait", "x") for _ in range(CALLS_MAX)]
        with pytest.raises(jsp.Timeout):
            client.call("add", 1, timeout=0.02)
        bench.gate.set()
        assert all(f.result(5) for f in futures)
        assert quiet(client)


def test_timeout_while_the_lane_is_full() -> None:
    """The server's end of the connection stands still, so that nothing leaves."""
    with pair() as client:
        client.call("add", 1)
        data = bytes(15 << 20)
        futures = [gevent.spawn(client.call, "size", data, timeout=0.1) for _ in range(4)]
        gevent.joinall(futures, timeout=5)
        outcomes = {f.value if f.successful() else type(f.exception) for f in futures}
        assert outcomes <= {len(data), jsp.Timeout} and jsp.Timeout in outcomes
        until(lambda: quiet(client))
        assert client.call("add", 1) == 2


@pytest.mark.parametrize("error", [gevent.Timeout(5), gevent.GreenletExit()], ids=["gevent.Timeout", "kill"])
def test_a_caller_who_is_interrupted_cancels(error: BaseException) -> None:
    bench = Bench()
    with pair(bench) as client:
        caller = gevent.spawn(client.call, "wait", "x")
        until(lambda: bench.running)
        caller.kill(error)
        until(lambda: bench.log == ["x GreenletExit"])
        until(lambda: quiet(client))


def test_callers_who_spin_read_their_answers_themselves() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            gevent.sleep(0)

    bench = Bench()
    with serving(Methods(bench)) as server, jsp.rpc.connect(server.url, config=jsp.Config(spin=0.001)) as client:
        ticking = gevent.spawn(tick)
        for number in range(300):
            assert client.call("add", number) == number + 1
        assert client.call("blob", 100_000) == bytes(100_000)
        callers = [gevent.spawn(client.call, "add", i) for i in range(20)]
        assert [c.get(timeout=5) for c in callers] == list(range(1, 21))
        ticking.kill()
        assert ticks > 10
        assert list(client.stream("count", 3)) == [0, 1, 2]
        with pytest.raises(jsp.Timeout):
            client.call("wait", "x", timeout=0.01)
        waiting = gevent.spawn(client.call, "wait", "y")
        until(lambda: bench.running)
        [connection] = server.connections()
        connection.abort(7, "enough")
        with pytest.raises(jsp.ConnectionClosed, match="enough"):
            waiting.get(timeout=5)


def test_callers_who_are_answered_together_ask_again() -> None:
    bench = Bench()
    with pair(bench) as client:

        def ask(number: int) -> list[int]:
            return [client.call("add", number, i) for i in range(20)]

        callers = [gevent.spawn(ask, number) for number in range(50)]
        for number, caller in enumerate(callers):
            assert caller.get(timeout=5) == [number + i for i in range(20)]


def test_a_cancel_does_not_overtake_its_request() -> None:
    bench = Bench()
    with pair(bench) as client:

        def ask(number: int) -> None:
            client.call("add", number)
            future = client.submit("wait", str(number))
            future.cancel()

        gevent.joinall([gevent.spawn(ask, number) for number in range(20)], timeout=5, raise_error=True)
        until(lambda: quiet(client))
        assert client.call("add", 1) == 2
        assert bench.running == 0


def test_notifications_of_one_who_was_answered_with_others_and_leaves_at_once() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server:
        client = jsp.rpc.connect(server.url)
        client.call("add", 1)

        def tell(number: int) -> None:
            client.call("add", number)
            client.notify("note", number)
            if number == 9:
                client.close()

        gevent.joinall([gevent.spawn(tell, number) for number in range(10)], timeout=5)
        until(lambda: 9 in bench.log)


# --- notifications -----------------------------------------------------------------------------------------------


def test_notifications_arrive_and_leave_nothing_behind() -> None:
    bench = Bench()
    with pair(bench) as client:
        for i in range(2 * CALLS_MAX):
            client.notify("note", i)
        client.notify("fail", "nobody hears")
        until(lambda: len(bench.log) == 2 * CALLS_MAX)
        until(lambda: quiet(client))
        with pytest.raises(jsp.rpc.Unserialisable):
            client.notify("note", iter([1]))


# --- the end of a connection -------------------------------------------------------------------------------------


def test_everybody_hears_of_the_end() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server:
        client = jsp.rpc.connect(server.url)
        calls = [gevent.spawn(client.call, "wait", "x") for _ in range(3)]
        future = client.submit("wait", "x")
        items = client.stream("drip", 3)
        assert next(items) == 0
        full = [client.submit("wait", "x") for _ in range(CALLS_MAX - 5)]
        waiting = gevent.spawn(client.call, "add", 1)
        until(lambda: bench.running == CALLS_MAX - 1)
        [connection] = server.connections()
        connection.abort(7, "enough")
        for caller in [*calls, waiting]:
            with pytest.raises(jsp.ConnectionClosed, match="enough"):
                caller.get(timeout=5)
        ends: list[Callable[[], Any]] = [future.result, full[0].result, lambda: next(items)]
        for pending in ends:
            with pytest.raises(jsp.ConnectionClosed, match="enough") as caught:
                pending()
            assert caught.value.code == 7
        for again in (lambda: client.call("add", 1), lambda: client.notify("add", 1)):
            with pytest.raises(jsp.ConnectionClosed):
                again()
        items.close()
        client.close()


def test_leaving_by_an_exception_closes_at_once() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server:
        client = jsp.rpc.connect(server.url)
        try:
            with client:
                future = client.submit("wait", "x")
                raise KeyError
        except KeyError:
            assert client.closed
        with pytest.raises(jsp.ConnectionClosed):
            future.result()


def test_nothing_survives_a_client() -> None:
    with nothing_left(), serving() as server:
        for _ in range(3):
            with jsp.rpc.connect(server.url) as client:
                client.call("add", 1)
                client.call("blob", 100_000)
                next(client.stream("drip", 3))
                client.submit("total", iter([1]))


def test_another_thread_is_refused() -> None:
    errors: list[BaseException] = []
    with pair() as client:

        def elsewhere() -> None:
            for options in ({}, {"timeout": 1}):
                try:
                    client.call("add", 1, **options)
                except BaseException as error:
                    errors.append(error)

        client.call("add", 1)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        while thread.is_alive():
            gevent.sleep(0.01)
    assert [type(e) for e in errors] == [jsp.WrongHub, jsp.WrongHub]


def test_a_connection_of_another_protocol_is_refused() -> None:
    server = jsp.Server(LOOPBACK, lambda conn: conn.wait_closed(5), identity=IDENTITY)
    with server, jsp.connect(server.url) as connection, pytest.raises(jsp.LocalError, match="jsp-rpc/1"):
        jsp.rpc.Client(connection)


# --- servers that do not keep to the protocol --------------------------------------------------------------------


def answering(answer: Callable[[int], bytes]) -> Any:
    """A server that answers every request with these bytes."""

    def handle(conn: jsp.Connection) -> None:
        stream = conn.accept_stream(timeout=5)
        framer = Framer()
        lane = conn.open_stream(unidirectional=True)
        while data := stream.recv(65536):
            for _, call, _ in framer.receive(data):
                lane.sendall(answer(call))

    return jsp.Server(LOOPBACK, handle, identity=IDENTITY, config=rpc_config())


def frame(kind: int, call: int, payload: bytes) -> bytes:
    return (len(payload) + 5).to_bytes(4, "big") + bytes([kind]) + call.to_bytes(4, "big") + payload


BAD_ANSWERS: dict[str, Callable[[int], bytes]] = {
    "too short": lambda call: bytes(9),
    "a client's kind": lambda call: frame(CALL, call, b"\xc0"),
    "unknown kind": lambda call: frame(99, call + 1, b""),
    "items of a plain call": lambda call: frame(ITEM, call, b"\xc0"),
    "no MessagePack": lambda call: frame(REPLY, call, b"\xc1"),
    "an error that is none": lambda call: frame(codec.ERROR, call, b"\xc0"),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_malformed_answer_closes_the_connection(
    answer: Callable[[int], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with answering(answer) as server, jsp.rpc.connect(server.url) as client:
        with pytest.raises(jsp.ConnectionClosed) as caught:
            client.call("add", 1)
        assert (caught.value.code, caught.value.by_peer) == (CloseCode.MALFORMED, False)
        assert "closed a connection" in caplog.text


@pytest.mark.parametrize("answer", [lambda c: frame(ITEM, c, b"\xc1"), lambda c: 3 * frame(ITEM, c, bytes(400_000))])
def test_malformed_items_close_the_connection(answer: Callable[[int], bytes]) -> None:
    def consume(client: jsp.rpc.Client) -> None:
        for _ in client.stream("count"):
            gevent.sleep(0.05)

    with answering(answer) as server, jsp.rpc.connect(server.url) as client, pytest.raises(jsp.ConnectionClosed):
        consume(client)


def test_a_list_of_methods_that_is_none() -> None:
    server = answering(lambda call: Encoder().frame(REPLY, call, [1, 2]))
    with server, jsp.rpc.connect(server.url) as client, pytest.raises(jsp.rpc.Unserialisable):
        client.methods()


def test_a_server_that_never_answers_cannot_keep_the_caller() -> None:
    with answering(lambda call: b"") as server, jsp.rpc.connect(server.url) as client:
        with pytest.raises(jsp.Timeout):
            client.call("add", 1, timeout=0.02)
        items = client.stream("count")
        items.close()
        assert len(client._session.calls) == 2

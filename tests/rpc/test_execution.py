"""One call on the server: whatever the method does, exactly one frame ends it, and it says what happened."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

import jsp
import jsp.rpc
from jsp.rpc import codec
from jsp.rpc.codec import CALL, CANCEL, CREDIT, END, ERROR, FED, FEEDS, ITEM, NOTIFY, REPLY, STREAM
from jsp.rpc.errors import CloseCode, parse_error
from jsp.rpc.execution import Served, execute
from jsp.rpc.windows import ITEM_MAX
from jsp.rpc.workers import Workers
from tests.rpc.support import Bench, Methods, RawClient, pair, serving, until


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "error", "words"),
    [
        ("fail", ("oh no",), {}, jsp.rpc.RemoteError, "ValueError: oh no"),
        ("nothing", (), {}, jsp.rpc.UnknownMethod, "there is no method 'nothing'"),
        ("", (), {}, jsp.rpc.UnknownMethod, "there is no method ''"),
        ("__init__", (), {}, jsp.rpc.UnknownMethod, "no method"),
        ("add", (), {}, jsp.rpc.BadArguments, "missing a required argument: 'a'"),
        ("add", (1, 2, 3), {}, jsp.rpc.BadArguments, "too many positional arguments"),
        ("add", (1,), {"c": 1}, jsp.rpc.BadArguments, "unexpected keyword argument 'c'"),
        ("add", (1,), {"a": 1}, jsp.rpc.BadArguments, "multiple values for argument 'a'"),
        ("type_error", (), {}, jsp.rpc.RemoteError, "TypeError: object of type 'int' has no len()"),
        ("add", ("a", 1), {}, jsp.rpc.RemoteError, "TypeError: can only concatenate"),
        ("thing", (), {}, jsp.rpc.Unserialisable, "the result: values of type object cannot be sent"),
        ("blob", (2 << 20,), {}, jsp.rpc.TooLarge, "the result: "),
        ("count", (3,), {}, jsp.rpc.WrongCall, "count streams its items: use stream()"),
    ],
)
def test_what_went_wrong(
    method: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pair(max_frame=codec.MIB) as client:
        with pytest.raises(error) as caught:
            client.call(method, *args, **kwargs)
        assert type(caught.value) is error and words in str(caught.value)
        assert client.call("add", 2, 3) == 5, "the connection goes on"


def test_stream_of_a_method_that_does_not() -> None:
    with pair() as client, pytest.raises(jsp.rpc.WrongCall, match=r"use call\(\)"):
        next(client.stream("add", 1, 2))


@pytest.mark.parametrize("error", [gevent.Timeout(1), RuntimeError("x"), jsp.rpc.TooLarge("nested"), LookupError()])
def test_any_exception_of_a_method_is_its_own(error: BaseException) -> None:
    service = jsp.rpc.Service()

    @service.method
    def fails() -> None:
        raise error

    @service.method
    def stream_fails() -> Iterator[int]:
        yield 1
        raise error

    with serving(service) as server, jsp.rpc.connect(server.url) as client:
        with pytest.raises(jsp.rpc.RemoteError) as caught:
            client.call("fails")
        assert caught.value.name == type(error).__name__
        items = client.stream("stream_fails")
        assert next(items) == 1
        with pytest.raises(jsp.rpc.RemoteError):
            next(items)


def test_a_method_that_stops_itself() -> None:
    service = jsp.rpc.Service()

    @service.method
    def leave() -> None:
        raise gevent.GreenletExit

    with serving(service) as server, jsp.rpc.connect(server.url) as client, pytest.raises(jsp.rpc.Cancelled):
        client.call("leave")


@pytest.mark.parametrize("debug", [False, True])
def test_tracebacks_only_when_told(debug: bool) -> None:
    with pair(debug=debug) as client:
        with pytest.raises(jsp.rpc.RemoteError) as caught:
            client.call("fail", "x")
        trace = caught.value.traceback
        assert (trace is not None) == debug
        assert not debug or (trace is not None and "raise ValueError(text)" in trace)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def test_arguments_of_decorated_functions() -> None:
    service = jsp.rpc.Service()

    @service.method
    @decorated
    def one(a: int) -> int:
        return a

    @service.method
    @decorated
    def items(a: int) -> Iterator[int]:
        yield a

    with serving(service) as server, jsp.rpc.connect(server.url) as client:
        assert client.call("one", 1) == 1
        assert list(client.stream("items", 1)) == [1]
        for call in (client.call, lambda *args: list(client.stream(*args))):
            with pytest.raises(jsp.rpc.BadArguments):
                call("one" if call == client.call else "items")


def test_notifications_that_fail_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pair() as client, caplog.at_level(logging.WARNING, "jsp.rpc"):
        client.notify("fail", "x")
        client.notify("nothing")
        client.notify("add")
        client.call("add", 1)
        until(lambda: len(caplog.records) == 3)
    assert "fail" in caplog.text and "nothing" in caplog.text


def test_peer_text_is_cut_and_escaped_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    with pair() as client, caplog.at_level(logging.WARNING, "jsp.rpc"):
        client.notify("x\ny" * 1000)
        until(lambda: caplog.records)
    [record] = caplog.records
    assert "\\n" in record.getMessage().split(":")[0] and "x\ny" not in record.getMessage().split(":")[0]
    assert len(record.getMessage().split(":")[0]) < 100


def test_who_calls() -> None:
    service = jsp.rpc.Service()
    me = jsp.Identity.generate()

    @service.method
    def whoami() -> str:
        return str(jsp.rpc.caller())

    @service.method
    def elsewhere() -> Any:
        return gevent.spawn(jsp.rpc.caller).get()

    with serving(service) as server:
        with jsp.rpc.connect(server.url, identity=me) as client:
            assert client.call("whoami") == str(me.peer_id)
            with pytest.raises(jsp.rpc.RemoteError, match="LocalError"):
                client.call("elsewhere")
        with jsp.rpc.connect(server.url) as client:
            assert client.call("whoami") == "None"
    with pytest.raises(jsp.LocalError):
        jsp.rpc.caller()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_let_through(error: type[BaseException]) -> None:
    service = jsp.rpc.Service()

    @service.method
    def leave() -> None:
        raise error

    nobody: Any = None
    served = Served(nobody, service, Workers(execute), codec.MAX_FRAME, debug=False)
    frame = served.encoder.request(CALL, 1, "leave", (), {})
    [(kind, call_id, payload)] = codec.Framer().receive(frame)
    call = served.session.handle_request(kind, call_id, payload or b"")
    assert call is not None
    with pytest.raises(error):
        execute(call)
    assert call.over and not served.session.calls


# --- frame by frame ----------------------------------------------------------------------------------------------


def test_answers_on_the_wire() -> None:
    with serving() as server, RawClient(server.url) as raw:
        raw.send(CALL, 1, ["add", [2, 3], {}])
        assert raw.receive() == (REPLY, 1, b"\x05")
        raw.send(NOTIFY, 2, ["note", ["x"], {}])
        assert raw.receive() == (REPLY, 2, b"\xc0")
        raw.send(NOTIFY, 3, ["fail", ["x"], {}])
        assert raw.receive()[:2] == (ERROR, 3)
        raw.lane.sendall(codec.bare_frame(CANCEL, 77))
        kind, call, payload = raw.receive()
        error = parse_error(codec.decode(payload))
        assert (kind, call, type(error)) == (ERROR, 77, jsp.rpc.Cancelled)


def test_cancel_while_it_runs_and_after() -> None:
    bench = Bench()
    with serving(Methods(bench)) as server, RawClient(server.url) as raw:
        raw.send(CALL, 1, ["wait", ["a"], {}])
        until(lambda: bench.running)
        raw.lane.sendall(codec.bare_frame(CANCEL, 1) * 2)
        assert raw.receive()[:2] == (ERROR, 1)
        assert bench.log == ["a GreenletExit"]
        raw.send(CALL, 2, ["add", [1], {}])
        kinds = [raw.receive()[:2] for _ in range(1)]
        assert kinds == [(REPLY, 2)]


def test_a_stream_waits_for_credit_and_ends() -> None:
    size = ITEM_MAX - 1000
    with serving() as server, RawClient(server.url) as raw:
        raw.send(STREAM, 1, ["count", [3, size], {}])
        got = [raw.receive()[0] for _ in range(2)]
        assert got == [ITEM, ITEM]
        raw.send(CREDIT, 1, size + 64)
        assert [raw.receive()[0] for _ in range(2)] == [ITEM, END]


def test_a_streamed_argument_on_the_wire() -> None:
    with serving() as server, RawClient(server.url) as raw:
        raw.send(CALL + FEEDS, 1, ("total", (FED,), {"start": 10}))
        for i in range(3):
            raw.send(ITEM, 1, i)
        raw.lane.sendall(codec.bare_frame(END, 1))
        assert raw.receive() == (REPLY, 1, b"\x0d")
        raw.send(ITEM, 1, 5)
        raw.send(CALL, 2, ["add", [1], {}])
        assert raw.receive()[:2] == (REPLY, 2)


def test_a_malformed_item_closes_the_connection() -> None:
    with serving() as server, RawClient(server.url) as raw:
        raw.send(CALL + FEEDS, 1, ("total", (FED,), {}))
        raw.lane.sendall(b"\x00\x00\x00\x06" + bytes([ITEM]) + b"\x00\x00\x00\x01" + b"\xc1")
        assert raw.closed_with()[0] == CloseCode.MALFORMED


def test_a_request_nested_too_deep_fails_alone() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    with pair() as client:
        with pytest.raises(jsp.rpc.Unserialisable, match="nested deeper"):
            client.call("note", value)
        with pytest.raises(jsp.rpc.Unserialisable, match="as a key"):
            client.call("note", {(1, 2): 3})
        assert client.call("add", 1) == 2

"""The rules of calls, without I/O: client's half, server's half, and both against each other."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jsp.rpc.bounds import VALUES_MAX
from jsp.rpc.codec import CALL, CALLS_MAX, CANCEL, CREDIT, END, ERROR, FEEDS, HELD_MAX, ITEM, NOTIFY, REPLY, STREAM
from jsp.rpc.errors import BadFrame, CloseCode
from jsp.rpc.session import FAILED, LOST, ClientCall, ClientSession, ServerSession, is_request
from jsp.rpc.windows import WINDOW

REQUEST = msgpack.packb(["m", [], {}])


def client_call(session: ClientSession, kind: int = CALL, feeds: bool = False) -> ClientCall:
    call = ClientCall(session.next_id(), kind, 10, feeds, 0)
    session.open(call)
    return call


# --- the client's half -------------------------------------------------------------------------------------------


def test_replies_in_any_order() -> None:
    session = ClientSession()
    first, second = client_call(session), client_call(session)
    assert session.handle_frame(REPLY, second.id, b"2") is second
    assert session.handle_frame(ERROR, first.id, b"1") is first
    assert (first.final, first.payload, second.final, second.payload) == (ERROR, b"1", REPLY, b"2")
    assert not session.calls


def test_items_then_end() -> None:
    session = ClientSession()
    call = client_call(session, STREAM)
    assert session.handle_frame(ITEM, call.id, b"1") is call
    assert not call.final
    session.handle_frame(END, call.id, b"")
    assert call.final == END and call.inbox is not None and list(call.inbox.payloads) == [b"1"]


def test_what_comes_after_the_end_is_passed_over() -> None:
    session = ClientSession()
    call = client_call(session)
    session.handle_frame(REPLY, call.id, b"")
    for kind in (REPLY, ERROR, ITEM, END, CREDIT):
        assert session.handle_frame(kind, call.id, b"") is None


@pytest.mark.parametrize(
    ("kind", "feeds", "frame"),
    [
        (CALL, False, ITEM), (CALL, False, END), (CALL, False, CREDIT), (STREAM, False, REPLY), (STREAM, False, CREDIT),
        (CALL, False, CALL), (CALL, False, CANCEL), (NOTIFY, False, ITEM), (CALL, False, 0), (CALL, False, 200),
    ],
)  # fmt: skip
def test_frames_a_call_cannot_get(kind: int, feeds: bool, frame: int) -> None:
    session = ClientSession()
    call = client_call(session, kind, feeds)
    with pytest.raises(BadFrame):
        session.handle_frame(frame, call.id, b"")


@pytest.mark.parametrize("frame", [0, CALL, NOTIFY, STREAM, CANCEL, 10, CALL + FEEDS, 255])
def test_kinds_that_no_server_sends(frame: int) -> None:
    with pytest.raises(BadFrame):
        ClientSession().handle_frame(frame, 1, b"")


def test_credit_goes_to_the_streamed_argument() -> None:
    session = ClientSession()
    call = client_call(session, CALL, feeds=True)
    assert call.credit is not None
    assert call.credit.take(WINDOW // 2) and not call.credit.take(WINDOW // 2)
    session.handle_frame(CREDIT, call.id, msgpack.packb(WINDOW // 2))
    assert call.credit.take(WINDOW // 2)
    with pytest.raises(BadFrame):
        session.handle_frame(CREDIT, call.id, msgpack.packb(WINDOW + 1000))


def test_numbers_wrap_around_calls_under_way() -> None:
    session = ClientSession()
    first = client_call(session)
    session._last = 2**32 - 2
    assert client_call(session).id == 2**32 - 1
    assert client_call(session).id == 0
    assert first.id == 1
    assert session.next_id() == 2


def test_the_end_of_the_connection_is_the_end_of_all_calls() -> None:
    session = ClientSession()
    calls = [client_call(session) for _ in range(3)]
    assert session.close() == calls
    assert {call.final for call in calls} == {LOST}
    assert not session.calls


def test_a_call_that_failed_here_stays_failed() -> None:
    session = ClientSession()
    call = client_call(session)
    call.fail(ValueError())
    assert session.handle_frame(ERROR, call.id, b"") is call
    assert call.final == FAILED and not session.calls


# --- the server's half -------------------------------------------------------------------------------------------


def test_which_kinds_are_requests() -> None:
    wanted = {CALL, NOTIFY, STREAM, CALL + FEEDS, STREAM + FEEDS}
    assert {kind for kind in range(256) if is_request(kind)} == wanted


def test_calls_start_at_once() -> None:
    session = ServerSession("me")
    call = session.handle_request(STREAM + FEEDS, 1, REQUEST)
    assert call is not None and call.owner == "me"
    assert (call.kind, call.feeds, call.started) == (STREAM, True, True)
    assert call.inbox is not None and call.credit is not None
    session.finish(call)
    session.finish(call)
    assert call.over and not session.calls


def test_a_number_twice_is_an_error() -> None:
    session = ServerSession()
    session.handle_request(CALL, 1, REQUEST)
    with pytest.raises(BadFrame):
        session.handle_request(CALL, 1, REQUEST)


def test_too_many_calls_are_an_error() -> None:
    session = ServerSession()
    for call_id in range(CALLS_MAX):
        session.handle_request(NOTIFY, call_id, REQUEST)
    with pytest.raises(BadFrame) as caught:
        session.handle_request(CALL, CALLS_MAX, REQUEST)
    assert caught.value.code is CloseCode.LIMIT


def test_too_many_bytes_are_an_error_unless_it_is_one_call() -> None:
    session = ServerSession()
    huge = bytes(HELD_MAX + 1)
    call = session.handle_request(CALL, 1, huge)
    assert call is not None
    with pytest.raises(BadFrame) as caught:
        session.handle_request(CALL, 2, REQUEST)
    assert caught.value.code is CloseCode.LIMIT
    session.finish(call)
    assert session.handle_request(CALL, 3, REQUEST) is not None


def test_streamed_arguments_count_as_what_they_may_hold() -> None:
    session = ServerSession()
    fit = HELD_MAX // WINDOW - 1
    for call_id in range(fit):
        session.handle_request(CALL + FEEDS, call_id, REQUEST)
    with pytest.raises(BadFrame):
        session.handle_request(CALL + FEEDS, fit, REQUEST)


BLOAT = b"\xdd" + (VALUES_MAX * 2 // 3).to_bytes(4, "big") + b"\x80" * (VALUES_MAX * 2 // 3)


def test_what_takes_much_memory_waits_in_order() -> None:
    session = ServerSession()
    first = session.handle_request(CALL, 1, BLOAT)
    assert first is not None
    assert session.handle_request(CALL, 2, BLOAT) is None
    assert session.handle_request(CALL, 3, REQUEST) is None, "it would overtake"
    assert session.poll_start() is None
    session.finish(first)
    second, third = session.poll_start(), session.poll_start()
    assert second is not None and third is not None
    assert (second.id, third.id) == (2, 3)
    assert session.poll_start() is None


def test_large_bytes_do_not_count_as_values() -> None:
    session = ServerSession()
    blob = msgpack.packb(["m", [bytes(4 << 20)], {}])
    assert all(session.handle_request(CALL, call_id, blob) is not None for call_id in range(8))
    assert session.handle_request(CALL, 8, REQUEST) is not None


def test_results_that_nobody_takes_hold_back_further_calls() -> None:
    session = ServerSession()
    call = session.handle_request(CALL, 1, REQUEST)
    assert call is not None
    session.charge(call, 200 << 20)
    assert session.handle_request(CALL, 2, REQUEST) is None
    session.finish(call)
    assert session.poll_start() is not None


def test_cancel() -> None:
    session = ServerSession()
    first = session.handle_request(CALL, 1, BLOAT)
    session.handle_request(CALL, 2, BLOAT)
    assert session.handle_cancel(1, b"") is first
    assert session.handle_cancel(2, b"") is None and 2 not in session.calls
    assert session.handle_cancel(77, b"") is None
    assert first is not None
    session.finish(first)
    assert session.poll_start() is None
    with pytest.raises(BadFrame):
        session.handle_cancel(1, b"\xc0")


@pytest.mark.parametrize(
    ("kind", "frame"),
    [(CALL, ITEM), (CALL, END), (CALL, CREDIT), (CALL + FEEDS, CREDIT), (STREAM, ITEM), (CALL, REPLY), (CALL, ERROR)],
)
def test_frames_a_served_call_cannot_get(kind: int, frame: int) -> None:
    session = ServerSession()
    session.handle_request(kind, 1, REQUEST)
    with pytest.raises(BadFrame):
        session.handle_frame(frame, 1, b"")


def test_no_items_after_their_end() -> None:
    session = ServerSession()
    session.handle_request(CALL + FEEDS, 1, REQUEST)
    session.handle_frame(END, 1, b"")
    for frame in (ITEM, END):
        with pytest.raises(BadFrame):
            session.handle_frame(frame, 1, b"")


@pytest.mark.parametrize("frame", [0, REPLY, ERROR, 10, 255])
def test_kinds_that_no_client_sends(frame: int) -> None:
    with pytest.raises(BadFrame):
        ServerSession().handle_frame(frame, 1, b"")


def test_what_comes_for_a_call_that_is_over_is_passed_over() -> None:
    session = ServerSession()
    for frame in (ITEM, END, CREDIT):
        assert session.handle_frame(frame, 1, b"") is None


def test_the_end_of_the_connection_spares_notifications() -> None:
    session = ServerSession()
    running = session.handle_request(CALL, 1, BLOAT)
    session.handle_request(CALL, 2, BLOAT)
    session.handle_request(NOTIFY, 3, REQUEST)
    assert session.close() == [running]
    assert set(session.calls) == {1, 3}
    assert running is not None
    session.finish(running)
    note = session.poll_start()
    assert note is not None and note.kind == NOTIFY


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 5), st.binary(max_size=6)), max_size=30))
def test_any_frames_keep_to_the_declared_errors(frames: list[tuple[int, int, bytes]]) -> None:
    client, server = ClientSession(), ServerSession()
    for kind in (CALL, NOTIFY, STREAM):
        client_call(client, kind, feeds=kind != NOTIFY)
    for kind, call_id, payload in frames:
        for handle in (
            client.handle_frame,
            server.handle_request if is_request(kind) else server.handle_frame,
        ):
            try:
                handle(kind, call_id, payload)
            except BadFrame:
                pass


class Conversation(RuleBasedStateMachine):
    """An honest client and an honest server never find fault with each other, and forget what is over."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.server = ClientSession(), ServerSession()
        self.to_server: list[tuple[int, int, bytes]] = []
        self.to_client: list[tuple[int, int, bytes]] = []
        self.running: list[Any] = []

    @rule(kind=st.sampled_from([CALL, NOTIFY, STREAM]), size=st.integers(0, 100))
    def call(self, kind: int, size: int) -> None:
        call = client_call(self.client, kind)
        self.to_server.append((kind, call.id, msgpack.packb(["m", [bytes(size)], {}])))

    @precondition(lambda self: self.client.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.to_server.append((CANCEL, data.draw(st.sampled_from(sorted(self.client.calls))), b""))

    @precondition(lambda self: self.to_server)
    @rule()
    def arrive(self) -> None:
        kind, call_id, payload = self.to_server.pop(0)
        if is_request(kind):
            call = self.server.handle_request(kind, call_id, payload)
            assert call is not None
            self.running.append(call)
            return
        call = self.server.handle_cancel(call_id, payload)
        if call is None:
            self.to_client.append((ERROR, call_id, b""))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data: st.DataObject, fails: bool) -> None:
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.server.finish(call)
        good = END if call.kind == STREAM else REPLY
        self.to_client.append((ERROR if fails else good, call.id, b""))

    @precondition(lambda self: self.to_client)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.client.handle_frame(*self.to_client.pop(data.draw(st.integers(0, len(self.to_client) - 1))))

    @invariant()
    def nothing_is_left_behind(self) -> None:
        assert set(self.server.calls) <= set(self.client.calls)
        if not (self.to_server or self.to_client or self.running):
            assert not self.client.calls and not self.server.calls


TestConversation = Conversation.TestCase

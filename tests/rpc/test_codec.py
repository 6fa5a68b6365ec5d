"""The wire format: values and frames there and back, and everything that is not one."""

from __future__ import annotations

import datetime
import enum
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jsp
from jsp.rpc import codec
from jsp.rpc.bounds import DEPTH_MAX, VALUES_MAX
from jsp.rpc.codec import CALL, CANCEL, FED, FEEDS, ITEM, REPLY, Encoder, Frame, Framer, decode, decode_request
from jsp.rpc.errors import BadFrame, TooLarge, Unserialisable
from tests.rpc.values import VALUES

MAX = codec.MIB


def frames_of(data: bytes, step: int | None = None) -> list[Frame]:
    framer = Framer(MAX)
    step = step or max(1, len(data))
    return [frame for at in range(0, len(data), step) for frame in framer.receive(data[at : at + step])]


# --- values ------------------------------------------------------------------------------------------------------


@given(VALUES)
def test_values_there_and_back(value: Any) -> None:
    [(kind, call, payload)] = frames_of(Encoder().frame(REPLY, 7, value))
    assert (kind, call) == (REPLY, 7)
    assert decode(payload) == value


@given(st.binary(max_size=300))
def test_any_payload_is_a_value_or_a_declared_error(payload: bytes) -> None:
    readers: list[Callable[[bytes], Any]] = [
        decode, partial(decode_request, feeds=False), partial(decode_request, feeds=True), codec.decode_credit,
    ]  # fmt: skip
    for read in readers:
        try:
            read(payload)
        except (BadFrame, Unserialisable):
            pass


@given(VALUES, st.binary(min_size=1, max_size=20))
def test_what_follows_a_value_is_an_error(value: Any, rest: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(msgpack.packb(value, datetime=True) + rest)


Point = namedtuple("Point", "x y")
Colour = enum.IntEnum("Colour", "RED")


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, 1),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (
            datetime.datetime(2027, 1, 31, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
            datetime.datetime(2027, 1, 31, 10, tzinfo=datetime.UTC),
        ),
        ({1: "a", None: 2, 1.5: 3, b"k": 4, False: 5}, {1: "a", False: 5, None: 2, 1.5: 3, b"k": 4}),
    ],
)
def test_what_arrives_differently(sent: Any, received: Any) -> None:
    [(_, _, payload)] = frames_of(Encoder().frame(REPLY, 1, sent))
    assert decode(payload) == received


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, 2**64, "\ud800", datetime.datetime(2027, 1, 1), LOOP, iter([1]), Unserialisable, 1j],
    ids=lambda v: type(v).__name__,
)
def test_what_cannot_be_sent_says_so_and_leaves_the_encoder_usable(value: Any) -> None:
    encoder = Encoder()
    with pytest.raises(Unserialisable) as caught:
        encoder.frame(REPLY, 1, ["before", value])
    assert isinstance(caught.value, jsp.Error) and isinstance(caught.value, TypeError)
    assert frames_of(encoder.frame(REPLY, 1, "after")) == [(REPLY, 1, b"\xa5after")]


def test_too_large_to_send() -> None:
    encoder = Encoder(MAX)
    with pytest.raises(TooLarge):
        encoder.frame(REPLY, 1, bytes(MAX))
    assert codec.payload_size(encoder.frame(REPLY, 1, bytes(MAX - 10))) == MAX - 5


BAD_PAYLOADS = {
    "nothing": b"",
    "never used": b"\xc1",
    "cut short": b"\x92\x01",
    "two values": b"\x01\x02",
    "not UTF-8": b"\xa2\xff\xfe",
    "longer than it is": b"\xdd\xff\xff\xff\xff",
    "longer text than there is": b"\xdb\xff\xff\xff\xff",
    "unknown extension": b"\xd4\x05a",
    "streamed argument in a value": b"\xc7\x00\x01",
    "time out of range": b"\xc7\x0c\xff" + b"\x00\x00\x00\x00" + b"\x7f" + b"\xff" * 7,
    "nanoseconds out of range": b"\xd7\xff" + b"\xff" * 8,
    "deeper than the unpacker goes": b"\x91" * 2000 + b"\xc0",
}


@pytest.mark.parametrize("payload", BAD_PAYLOADS.values(), ids=BAD_PAYLOADS.keys())
def test_malformed_values(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(payload)


@pytest.mark.parametrize("payload", [b"\x81\x90\x01", b"\x81\x80\x01"])
def test_unhashable_keys_fail_only_the_call(payload: bytes) -> None:
    with pytest.raises(Unserialisable):
        decode(payload)


def test_depth_is_bounded() -> None:
    assert decode(b"\x91" * DEPTH_MAX + b"\xc0")
    with pytest.raises(Unserialisable):
        decode(b"\x91" * (DEPTH_MAX + 1) + b"\xc0")


def test_a_message_cannot_blow_up() -> None:
    # Empty maps: 1 byte on the wire, 80 in memory.
    with pytest.raises(TooLarge):
        decode(b"\xdd" + (2 * VALUES_MAX).to_bytes(4, "big") + b"\x80" * 2 * VALUES_MAX)
    assert len(decode(msgpack.packb(bytes(2 * VALUES_MAX)))) == 2 * VALUES_MAX


# --- requests ----------------------------------------------------------------------------------------------------


@given(st.text(), st.lists(VALUES, max_size=3), st.dictionaries(st.text(), VALUES, max_size=3))
def test_requests_there_and_back(method: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    [(_, _, payload)] = frames_of(Encoder().request(CALL, 1, method, tuple(args), kwargs))
    assert decode_request(payload, False) == (method, args, kwargs)


def test_streamed_argument_there_and_back() -> None:
    [(kind, _, payload)] = frames_of(Encoder().request(CALL + FEEDS, 1, "m", (1, FED), {"k": 2}))
    assert kind == CALL + FEEDS
    assert decode_request(payload, True) == ("m", [1, FED], {"k": 2})
    with pytest.raises(BadFrame, match="extension"):
        decode_request(payload, False)
    for other in (msgpack.ExtType(1, b"x"), msgpack.ExtType(2, b"")):
        with pytest.raises(BadFrame, match="extension"):
            decode_request(msgpack.packb(["m", [other], {}]), True)


@pytest.mark.parametrize(
    "request_",
    [
        [], ["m"], ["m", []], ["m", [], {}, 1], {"m": 1}, "m", [1, [], {}], [b"m", [], {}], ["m", {}, {}],
        ["m", [], []], ["m", [], {1: 2}], ["m", [], {b"k": 2}], None,
    ],
    ids=repr,
)  # fmt: skip
def test_malformed_requests(request_: Any) -> None:
    with pytest.raises(BadFrame):
        decode_request(msgpack.packb(request_), False)


@pytest.mark.parametrize("args", [(), (FED, FED), ([FED],), (FED, [FED])], ids=["none", "two", "inside", "both"])
def test_one_argument_is_streamed_at_most(args: tuple[Any, ...]) -> None:
    [(_, _, payload)] = frames_of(Encoder().request(CALL + FEEDS, 1, "m", args, {}))
    with pytest.raises(BadFrame):
        decode_request(payload, True)


@pytest.mark.parametrize("value", [0, -1, 1.5, None, "1", [1], 2**64], ids=repr)
def test_malformed_credit(value: Any) -> None:
    payload = msgpack.packb(value) if value != 2**64 else b"\xcf" + b"\xff" * 9
    with pytest.raises(BadFrame):
        codec.decode_credit(payload)


def test_bare_frames() -> None:
    [(kind, call, payload)] = frames_of(codec.bare_frame(CANCEL, 2**32 - 1))
    assert (kind, call) == (CANCEL, 2**32 - 1)
    codec.check_bare(payload)
    for wrong in (b"\xc0", None):
        with pytest.raises(BadFrame):
            codec.check_bare(wrong)
    assert frames_of(codec.done_frame(5)) == [(REPLY, 5, b"\xc0")]


# --- frames ------------------------------------------------------------------------------------------------------

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=8)


def bytes_of(frames: list[tuple[int, int, bytes]]) -> bytes:
    return b"".join((len(p) + 5).to_bytes(4, "big") + bytes([k]) + c.to_bytes(4, "big") + p for k, c, p in frames)


@given(FRAMES, st.integers(1, 50))
def test_frames_in_pieces_of_any_size(frames: list[tuple[int, int, bytes]], step: int) -> None:
    assert frames_of(bytes_of(frames), step) == frames


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_frames_or_a_declared_error(data: bytes, step: int) -> None:
    try:
        frames_of(data, step)
    except BadFrame:
        pass


@pytest.mark.parametrize("size", range(5))
def test_frame_too_short_for_its_head(size: int) -> None:
    with pytest.raises(BadFrame):
        frames_of(size.to_bytes(4, "big") + bytes(5))


@pytest.mark.parametrize("step", [1 << 14, 100_000, 1 << 30])
def test_a_frame_that_is_too_large_is_passed_over(step: int) -> None:
    large = bytes_of([(ITEM, 1, bytes(MAX))])
    around = [(CALL, 2, b"before"), (CALL, 3, b"after")]
    data = bytes_of(around[:1]) + large + bytes_of(around[1:])
    assert frames_of(data, step) == [around[0], (ITEM, 1, None), around[1]]
    with pytest.raises(TooLarge):
        decode(None)


def test_largest_frame_is_taken() -> None:
    [(_, _, payload)] = frames_of(bytes_of([(ITEM, 1, bytes(MAX - 5))]), 65536)
    assert payload is not None and len(payload) == MAX - 5


@pytest.mark.parametrize("size", [0, MAX - 1, 1 << 31])
def test_bad_max_frame(size: int) -> None:
    with pytest.raises(jsp.LocalError):
        codec.check_max_frame(size)

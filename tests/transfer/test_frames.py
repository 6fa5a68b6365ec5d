"""The frames of a session: there and back, in pieces of any size, and declared errors for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.transfer import frames
from jsp.transfer.chunks import CHUNK_MAX, HASH_SIZE, SIZE_MAX
from jsp.transfer.entries import MODE_MAX, TIME_MAX
from jsp.transfer.errors import BadFrame
from jsp.transfer.frames import BODY_MAX, FrameReader, Open, Start
from tests.profiles import examples

U32 = st.integers(0, 2**32 - 1)
MODES = st.integers(0, MODE_MAX)
TIMES = st.integers(-TIME_MAX, TIME_MAX)
HASHES = st.binary(min_size=HASH_SIZE, max_size=HASH_SIZE)
FAR = 1 << 64

PARSERS: dict[int, Callable[[frames.Body], Any]] = {
    frames.OPEN: frames.parse_open,
    frames.START: frames.parse_start,
    frames.WHOLE: frames.parse_whole,
    frames.BEGIN: frames.parse_begin,
    frames.DATA: frames.parse_data,
    frames.HOLES: frames.parse_holes,
    frames.END: frames.parse_end,
    frames.PASS: frames.parse_number,
    frames.PLAN: frames.parse_plan,
    frames.VERDICTS: frames.parse_verdicts,
    frames.HAVE: frames.parse_have,
    frames.CANCEL: frames.parse_number,
    frames.PROBLEM: frames.parse_problem,
    frames.ABORT: frames.parse_abort,
}
SAMPLES = {
    "open": frames.pack_open(Open(True, b"a/b", True, False, (b"*.o", b"x/"))),
    "start": frames.pack_start(Start(False, 0o755, -5)),
    "whole": frames.pack_whole(1, 2, 0o644, bytes(32), b"data"),
    "begin": frames.pack_begin(frames.Begin(1, 2, 3, 4)),
    "data": frames.pack_data(1, 2, bytes(32), b"data"),
    "holes": frames.pack_holes(1, 2, 3),
    "end": frames.pack_end(1, bytes(32)),
    "pass": frames.pack_pass(1),
    "plan": frames.pack_plan(1, 2),
    "verdicts": frames.pack_verdicts([1, 2], (), [3]),
    "have": frames.pack_have(1, bytes(64)),
    "cancel": frames.pack_cancel(1),
    "problem": frames.pack_problem(True, b"a/b", "text"),
    "abort": frames.pack_abort("text"),
}


class Pieces:
    """A stream that gives `step` bytes at a time, then its end.

    Attributes:
        left: what has not been read.
    """

    def __init__(self, data: bytes, step: int = 1 << 30) -> None:
        self.left = data
        self._step = step

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer)
        assert len(view), "asked for nothing"
        size = min(self._step, len(view), len(self.left))
        view[:size], self.left = self.left[:size], self.left[size:]
        return size


def body_of(frame: bytes) -> tuple[int, bytes]:
    """Type and body of the one frame there is."""
    assert len(frame) == 5 + int.from_bytes(frame[:4], "big")
    return frame[4], frame[5:]


def value_of(frame: bytes) -> Any:
    kind, body = body_of(frame)
    value = PARSERS[kind](body)
    assert PARSERS[kind](bytearray(body)) == value
    return value


# --- values there and back ---------------------------------------------------------------------------------------


@given(st.builds(Open, st.booleans(), st.binary(), st.booleans(), st.booleans(), st.lists(st.binary()).map(tuple)))
def test_requests_there_and_back(request_: Open) -> None:
    assert value_of(frames.pack_open(request_)) == request_


@given(st.booleans(), st.one_of(st.just((None, None)), st.tuples(MODES, TIMES)))
def test_starts_there_and_back(single: bool, facts: tuple[int | None, int | None]) -> None:
    start = Start(single, *facts)
    assert value_of(frames.pack_start(start)) == start


@given(U32, U32, TIMES, MODES, HASHES, st.binary())
def test_contents_there_and_back(number: int, chunk: int, mtime: int, mode: int, digest: bytes, data: bytes) -> None:
    whole = frames.Whole(number, mtime, mode, digest, memoryview(data))
    assert value_of(frames.pack_whole(number, mtime, mode, digest, data)) == whole
    assert value_of(frames.pack_data(number, chunk, digest, data)) == (number, chunk, digest, data)
    begin = frames.Begin(number, len(data), mtime, mode)
    assert value_of(frames.pack_begin(begin)) == begin
    assert value_of(frames.pack_holes(number, chunk, mode)) == (number, chunk, mode)
    assert value_of(frames.pack_end(number, digest)) == (number, digest)
    assert value_of(frames.pack_plan(number, abs(mtime))) == (number, abs(mtime))


@given(U32, st.lists(U32), st.lists(U32), st.lists(U32), st.lists(HASHES))
def test_answers_there_and_back(
    number: int, want: list[int], keep: list[int], refuse: list[int], have: list[bytes]
) -> None:
    assert value_of(frames.pack_verdicts(want, iter(keep), tuple(refuse))) == (want, keep, refuse)
    assert value_of(frames.pack_have(number, b"".join(have))) == (number, b"".join(have))
    assert value_of(frames.pack_pass(number)) == value_of(frames.pack_cancel(number)) == number


@given(st.booleans(), st.binary(), st.text())
def test_words_there_and_back(error: bool, path: bytes, text: str) -> None:
    assert value_of(frames.pack_problem(error, path, text)) == (error, path, text)
    assert value_of(frames.pack_abort(text)) == text


def test_every_frame_says_which_file_it_is_about() -> None:
    # The receiver finds it before it knows the rest.
    for name in ("whole", "begin", "data", "holes", "end", "pass", "plan"):
        assert frames.parse_number(body_of(SAMPLES[name])[1]) == 1


@pytest.mark.parametrize("mtime", [TIME_MAX + 1, FAR, -TIME_MAX - 1, -FAR])
def test_times_beyond_what_a_frame_holds_become_the_nearest(mtime: int) -> None:
    nearest = TIME_MAX if mtime > 0 else -TIME_MAX
    assert value_of(frames.pack_start(Start(False, 0, mtime))).mtime == nearest
    assert value_of(frames.pack_whole(1, mtime, 0, bytes(32), b"")).mtime == nearest
    assert value_of(frames.pack_begin(frames.Begin(1, 2, mtime, 0o644))) == (1, 2, nearest, 0o644)


# --- words for people --------------------------------------------------------------------------------------------


def test_words_that_are_no_unicode_arrive_escaped() -> None:
    text = "a\udcffb"
    assert value_of(frames.pack_abort(text)) == "a\\udcffb"
    assert value_of(frames.pack_problem(False, b"p", text)) == (False, b"p", "a\\udcffb")


def test_words_are_cut_before_they_are_sent() -> None:
    assert value_of(frames.pack_abort("x" * 10_000)) == "x" * 1000
    assert value_of(frames.pack_problem(True, b"p" * 10_000, "x" * 10_000)) == (True, b"p" * 4096, "x" * 1000)


def test_cut_words_are_not_sent_whole() -> None:
    assert len(frames.pack_abort("\udcff" * 10_000)) < 1100
    assert len(frames.pack_problem(True, b"p" * 100_000, "x" * 100_000)) < 5200


def test_a_peer_cannot_say_more_than_that() -> None:
    # A thousand problems are kept.
    size = BODY_MAX // 3
    assert frames.parse_abort(msgpack.packb("x" * size)) == "x" * 1000
    assert frames.parse_problem(msgpack.packb([True, b"p" * size, "x" * size])) == (True, b"p" * 4096, "x" * 1000)


def test_the_words_about_a_foreign_version_are_short_and_plain() -> None:
    versions: list[Any] = ["\x1b[2J" * 100_000, [[]] * 1000, None, 2**64 - 1]
    for version in versions:
        with pytest.raises(BadFrame, match="version") as caught:
            frames.parse_open(msgpack.packb({"v": version, "op": "push", "path": b""}))
        assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


# --- everything else ---------------------------------------------------------------------------------------------


@examples(150)
@given(st.sampled_from(sorted(PARSERS)), st.binary(max_size=120))
def test_any_body_is_a_value_or_a_declared_error(kind: int, body: bytes) -> None:
    try:
        PARSERS[kind](body)
    except BadFrame:
        pass


@pytest.mark.parametrize("name", SAMPLES)
def test_one_wrong_bit_gives_a_value_or_a_declared_error(name: str) -> None:
    kind, body = body_of(SAMPLES[name])
    for bit in range(8 * len(body)):
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            PARSERS[kind](damaged)
        except BadFrame:
            pass


@pytest.mark.parametrize("name", SAMPLES)
def test_a_body_cut_anywhere_in_its_head_is_refused(name: str) -> None:
    kind, body = body_of(SAMPLES[name])
    # Data, and the hashes of HAVE, may be of any length.
    head = {"whole": len(body) - 4, "data": len(body) - 4, "have": 4}.get(name, len(body))
    for end in range(head):
        with pytest.raises(BadFrame):
            PARSERS[kind](body[:end])


@pytest.mark.parametrize("name", ["begin", "holes", "end", "pass", "plan", "cancel"])
def test_what_a_later_version_adds_to_a_binary_frame_is_passed_over(name: str) -> None:
    kind, body = body_of(SAMPLES[name])
    assert PARSERS[kind](body + b"more") == PARSERS[kind](body)


@pytest.mark.parametrize("name", ["open", "start", "verdicts", "problem", "abort"])
def test_what_follows_a_value_is_an_error(name: str) -> None:
    kind, body = body_of(SAMPLES[name])
    with pytest.raises(BadFrame):
        PARSERS[kind](body + b"\xc0")


def test_keys_and_elements_of_a_later_version_are_passed_over() -> None:
    more = {"new": [1]}
    request = {"v": 1, "op": "pull", "path": b"p"}
    assert frames.parse_open(msgpack.packb(request | more)) == Open(False, b"p")
    assert frames.parse_start(msgpack.packb({"single": True} | more)) == Start(True)
    assert frames.parse_verdicts(msgpack.packb({"keep": [1]} | more)) == ([], [1], [])
    assert frames.parse_problem(msgpack.packb([True, b"p", "t", more])) == (True, b"p", "t")


GOOD_REQUEST = {"v": 1, "op": "push", "path": b"p", "exclude": []}


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"v": None}, {"v": "1"}, {"v": True}, {"v": 1.0}, {"op": "pus"}, {"op": b"push"}, {"op": None},
        {"op": []}, {"path": "p"}, {"path": None}, {"exclude": None}, {"exclude": b"*.o"}, {"exclude": {}},
        {"exclude": ["*.o"]}, {"exclude": [b"*.o", 1]}, {"exclude": [b"x"] * 1001}, {"exclude": [b"x" * 1025]},
        {"exclude": [b"x" * 1024] * 65},
    ],
    ids=lambda change: repr(change)[:40],
)  # fmt: skip
def test_malformed_requests(change: dict[str, Any]) -> None:
    assert frames.parse_open(msgpack.packb(GOOD_REQUEST)) == Open(True, b"p")
    with pytest.raises(BadFrame):
        frames.parse_open(msgpack.packb(GOOD_REQUEST | change))


@pytest.mark.parametrize("key", ["v", "op", "path"])
def test_what_a_request_must_have(key: str) -> None:
    with pytest.raises(BadFrame):
        frames.parse_open(msgpack.packb({k: v for k, v in GOOD_REQUEST.items() if k != key}))


@pytest.mark.parametrize("value", [1, "yes", b"\x01", None, [True]], ids=repr)
def test_only_true_turns_an_option_on(value: Any) -> None:
    request = frames.parse_open(msgpack.packb(GOOD_REQUEST | {"checksum": value, "dry_run": value}))
    assert (request.checksum, request.dry_run) == (False, False)


def test_patterns_as_many_and_as_long_as_they_may_be() -> None:
    for patterns in ([b"*.o"] * 1000, [b"x" * 1024] * 64):
        assert frames.parse_open(msgpack.packb(GOOD_REQUEST | {"exclude": patterns})).exclude == tuple(patterns)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (frames.START, {}), (frames.START, {"single": 1}), (frames.START, {"single": None}),
        (frames.START, {"single": True, "mode": 0}), (frames.START, {"single": True, "mode": None, "mtime": 0}),
        (frames.START, {"single": True, "mode": 0o10000, "mtime": 0}),
        (frames.START, {"single": True, "mode": 0, "mtime": 1 << 63}), (frames.START, [True]),
        (frames.VERDICTS, []), (frames.VERDICTS, {"want": None}), (frames.VERDICTS, {"keep": 1}),
        (frames.VERDICTS, {"refuse": [None]}), (frames.VERDICTS, {"want": [1, "2"]}),
        (frames.VERDICTS, {"want": [True]}), (frames.VERDICTS, {"want": [1.0]}), (frames.VERDICTS, {"want": {}}),
        (frames.PROBLEM, [True, b"p"]), (frames.PROBLEM, [1, b"p", "t"]), (frames.PROBLEM, [True, "p", "t"]),
        (frames.PROBLEM, [True, b"p", b"t"]), (frames.PROBLEM, {}), (frames.PROBLEM, None),
        (frames.ABORT, b"text"), (frames.ABORT, ["text"]), (frames.ABORT, None),
    ],
)  # fmt: skip
def test_malformed_values(kind: int, body: Any) -> None:
    with pytest.raises(BadFrame):
        PARSERS[kind](msgpack.packb(body))


@pytest.mark.parametrize(
    ("size", "mtime", "mode"),
    [(SIZE_MAX + 1, 0, 0), (2**64 - 1, 0, 0), (0, -(1 << 63), 0), (0, 0, MODE_MAX + 1), (0, 0, 2**32 - 1)],
)
def test_files_that_cannot_be(size: int, mtime: int, mode: int) -> None:
    facts = mtime.to_bytes(8, "big", signed=True) + mode.to_bytes(4, "big")
    with pytest.raises(BadFrame):
        frames.parse_begin(bytes(4) + size.to_bytes(8, "big") + facts)
    if size == 0:
        with pytest.raises(BadFrame):
            frames.parse_whole(bytes(4) + facts + bytes(HASH_SIZE))


@pytest.mark.parametrize("size", [1, 31, 33, 63, 65])
def test_half_a_hash_is_no_hash(size: int) -> None:
    with pytest.raises(BadFrame):
        frames.parse_have(bytes(4 + size))
    assert len(frames.parse_have(bytes(4))[1]) == 0


# --- the stream --------------------------------------------------------------------------------------------------

FRAMES = st.lists(st.tuples(st.integers(0, 63), st.binary(max_size=40)), max_size=8)


def read_all(reader: FrameReader) -> NoReturn:
    while True:
        reader.read()


def packed(frames_: list[tuple[int, bytes]]) -> bytes:
    return b"".join(frames.pack(kind, body) for kind, body in frames_)


@given(FRAMES, st.integers(1, 60))
def test_frames_in_pieces_of_any_size(sent: list[tuple[int, bytes]], step: int) -> None:
    reader = FrameReader(Pieces(packed(sent), step))
    assert [reader.read() for _ in sent] == sent
    with pytest.raises(BadFrame, match="ended"):
        reader.read()


def test_a_stream_that_ends_at_any_byte_is_a_declared_error() -> None:
    everything = b"".join(SAMPLES.values())
    for end in range(len(everything)):
        reader = FrameReader(Pieces(everything[:end]))
        with pytest.raises(BadFrame, match="ended"):
            read_all(reader)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_frames_or_a_declared_error(data: bytes, step: int) -> None:
    reader = FrameReader(Pieces(data, step))
    with pytest.raises(BadFrame):
        read_all(reader)


@pytest.mark.parametrize("step", [1 << 30, 100_000, 65_537])
@pytest.mark.parametrize("size", [511 * 1024, 512 * 1024 - 5, 512 * 1024, CHUNK_MAX, BODY_MAX])
def test_large_frames_between_small_ones(size: int, step: int) -> None:
    large = (frames.DATA, b"\xda" * size)
    sent = [(1, b"a"), (2, b""), large, (3, b"c" * 9), large, (4, b"d")]
    reader = FrameReader(Pieces(packed(sent), step))
    for kind, body in sent:
        # Not compared as tuples: a failure would print megabytes.
        there, arrived = reader.read()
        assert there == kind and len(arrived) == len(body) and (arrived == body) is True


@pytest.mark.parametrize("left", range(7))
def test_a_head_that_begins_at_the_end_of_the_buffer(left: int) -> None:
    sent = [(1, bytes(512 * 1024 - 5 - left)), (2, b"abc"), (3, b"def")]
    reader = FrameReader(Pieces(packed(sent)))
    assert [reader.read() == frame for frame in sent] == [True] * 3


def test_bodies_stay_as_they_are_when_more_is_read() -> None:
    sent = [(1, bytes([n]) * 100_000) for n in range(20)]
    reader = FrameReader(Pieces(packed(sent)))
    bodies = [reader.read()[1] for _ in sent]
    assert all(body == expected for body, (_, expected) in zip(bodies, sent, strict=True))


@pytest.mark.parametrize("size", [BODY_MAX + 1, 2**32 - 1])
@pytest.mark.parametrize("kind", [frames.DATA, frames.SKIPPABLE])
def test_a_frame_that_is_too_large_is_refused_before_it_is_read(size: int, kind: int) -> None:
    source = Pieces(size.to_bytes(4, "big") + bytes([kind]) + bytes(1 << 20), 5)
    with pytest.raises(BadFrame, match="longer"):
        FrameReader(source).read()
    assert len(source.left) == 1 << 20


@pytest.mark.parametrize("step", [1, 1 << 30])
def test_frames_of_later_versions_are_passed_over(step: int) -> None:
    later = [(64, b""), (255, b"x" * 700_000 * (step > 1)), (100, b"abc")]
    sent = [later[0], (63, b"known"), later[1], later[2], (0, b"too")]
    reader = FrameReader(Pieces(packed(sent), step))
    assert [reader.read(), reader.read()] == [(63, b"known"), (0, b"too")]


def test_whether_a_frame_is_there() -> None:
    reader = FrameReader(Pieces(packed([(1, b"a"), (2, b"bcd")]), 7))
    assert not reader.has_frame(), "nothing has been read"
    reader.read()
    # One byte of the next one's head is here.
    assert not reader.has_frame()
    reader = FrameReader(Pieces(packed([(1, b"a"), (2, b"bcd"), (3, b"")])))
    for expected in (True, True, False):
        reader.read()
        assert reader.has_frame() is expected


@pytest.mark.parametrize("end", range(1, 9))
def test_a_frame_that_is_not_all_there_is_not_there(end: int) -> None:
    reader = FrameReader(Pieces(packed([(1, b"")]) + packed([(2, b"bcd")])[:end]))
    reader.read()
    assert reader.has_frame() is (end == 8)


def test_a_frame_that_is_passed_over_does_not_count() -> None:
    # Whoever trusts it keeps what he has until there is more, and `read` would wait.
    reader = FrameReader(Pieces(packed([(1, b"a"), (64, b""), (99, b"later"), (2, b"b"), (64, b"")])))
    reader.read()
    assert reader.has_frame()
    assert reader.read() == (2, b"b")
    assert not reader.has_frame()


def test_what_the_stream_raises_passes_through() -> None:
    class Broken:
        def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        FrameReader(Broken()).read()

"""Frames about whole paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire import path_frames
from jsp.wire.buffer import Reader, Writer

NUMBERS = st.integers(0, (1 << 62) - 1)


def written(push: object, *values: int) -> bytes:
    writer = Writer(bytearray(64))
    assert push(writer, *values)  # type: ignore[operator]
    return bytes(writer.buffer[: writer.pos])


@given(NUMBERS, NUMBERS)
def test_path_abandon_there_and_back(path_id: int, code: int) -> None:
    reader = Reader(written(path_frames.push_path_abandon, path_id, code))
    assert reader.pull_varint() == path_frames.PATH_ABANDON
    assert path_frames.parse_path_abandon(reader) == (path_id, code)
    assert reader.pos == reader.end


@given(NUMBERS, NUMBERS, st.booleans())
def test_path_status_there_and_back(path_id: int, sequence: int, backup: bool) -> None:
    reader = Reader(written(path_frames.push_path_status, path_id, sequence, backup))
    assert reader.pull_varint() == path_frames.PATH_STATUS
    assert path_frames.parse_path_status(reader) == (path_id, sequence, backup)


def test_what_does_not_fit_is_not_written() -> None:
    writer = Writer(bytearray(4))
    assert not path_frames.push_path_abandon(writer, 1, 2)
    assert writer.pos == 0


@pytest.mark.parametrize("data", [b"\x02\x01", b"\x03\x01\x02\x03", b"\x01\x01", b"\x40", b""])
def test_wrong_lengths(data: bytes) -> None:
    with pytest.raises(BadPacket):
        path_frames.parse_path_abandon(Reader(data))


def test_unknown_status() -> None:
    with pytest.raises(BadPacket):
        path_frames.parse_path_status(Reader(b"\x03\x01\x02\x02"))


@given(st.binary(max_size=40))
def test_anything_is_parsed_or_refused(data: bytes) -> None:
    for parse in (path_frames.parse_path_abandon, path_frames.parse_path_status):
        try:
            parse(Reader(data))
        except BadPacket:
            pass

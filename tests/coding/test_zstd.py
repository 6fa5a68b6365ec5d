"""Messages: what was written comes back, and nothing a peer can say makes much of little."""

from __future__ import annotations

import random
import resource
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from jsp.coding.zstd import ALLOWED, PLAIN, RATIO, ZSTD, ZSTD_DICTIONARY, Coding, agree
from jsp.config import Compression
from jsp.errors import Code, ProtocolViolation
from tests.profiles import examples

LIMIT = 16 << 20
PLAIN_SETTING = Compression()
WORDS = random.Random(1).choices([b"alpha", b"beta", b"gamma", b"delta", b"epsilon"], k=20_000)
TEXT = b" ".join(WORDS)
DICTIONARY = Compression(dictionary=TEXT[:4000])


def coding(setting: Compression = PLAIN_SETTING) -> Coding:
    agreed = agree(setting, setting.offer)
    assert agreed is not None
    return agreed


def frame(data: bytes, **options: object) -> bytes:
    return bytes((ZSTD,)) + zstandard.ZstdCompressor(level=3, **options).compress(data)  # type: ignore[arg-type]


def refused(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(ProtocolViolation) as error:
        coding().decode_message(data, limit)
    assert error.value.code == Code.CODING
    return error.value.reason


# --- agreeing --------------------------------------------------------------------------------------------------


def test_both_ends_must_have_it() -> None:
    assert agree(None, PLAIN_SETTING.offer) is None
    assert agree(PLAIN_SETTING, b"") is None
    assert agree(PLAIN_SETTING, b"\x02") is None
    assert coding().kind == ZSTD


def test_dictionary_is_used_where_both_have_the_same() -> None:
    other = Compression(dictionary=b"something else altogether")
    assert coding(DICTIONARY).kind == ZSTD_DICTIONARY
    for theirs in (other.offer, PLAIN_SETTING.offer, DICTIONARY.offer + b"?"):
        agreed = agree(DICTIONARY, theirs)
        assert agreed is not None and agreed.kind == ZSTD


# --- what comes back -------------------------------------------------------------------------------------------


@examples(200)
@given(st.one_of(st.binary(max_size=3000), st.builds(lambda a, n: a * n, st.binary(max_size=50), st.integers(0, 3000))))
def test_any_message_comes_back(data: bytes) -> None:
    for setting in (PLAIN_SETTING, DICTIONARY):
        end = coding(setting)
        for wanted in (False, True):
            coded = end.encode_message(data, wanted)
            assert len(coded) <= len(data) + 1
            assert end.decode_message(coded, len(data)) == data


def test_text_gets_smaller_and_more_so_with_a_dictionary() -> None:
    for size in (300, 100_000):
        plain, shared = (len(coding(s).encode_message(TEXT[:size], True)) for s in (PLAIN_SETTING, DICTIONARY))
        assert plain < size * 0.6
        assert shared < plain
    assert len(coding().encode_message(TEXT, False)) == len(TEXT) + 1


def test_what_would_come_to_too_much_goes_as_it_is() -> None:
    for size in (1000, ALLOWED, 1 << 20, 8 << 20):
        data = bytes(size)
        coded = coding().encode_message(data, True)
        assert coding().decode_message(coded, LIMIT) == data
        assert (coded[0] == PLAIN) == (size > ALLOWED + RATIO * 2000)


def test_data_that_does_not_get_smaller_is_left_alone_for_a_while() -> None:
    end = coding()
    noise = random.Random(1).randbytes(20_000)
    assert end.encode_message(noise, True)[0] == PLAIN
    tried = [end.encode_message(TEXT[:10_000], True)[0] == ZSTD for _ in range(40)]
    assert not any(tried[:25]) and all(tried[30:])


# --- what a peer can say ---------------------------------------------------------------------------------------


def test_bomb_is_refused_before_anything_is_allocated() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = frame(bytes(1 << 20))
    huge = zstandard.ZstdCompressor(level=3).compressobj(size=1 << 33)
    assert "would have" in refused(bomb)
    assert "would have" in refused(bytes((ZSTD,)) + huge.compress(bytes(1 << 16)) + huge.flush(1))
    # A header of a few bytes that announces a terabyte.
    assert "would have" in refused(bytes((ZSTD,)) + bytes.fromhex("28b52ffde0ffffffffff000000"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_message_above_the_limit_is_refused() -> None:
    data = frame(TEXT)
    assert coding().decode_message(data, len(TEXT)) == TEXT
    assert "would have" in refused(data, len(TEXT) - 1)


def test_frame_that_lies_about_its_size_is_refused() -> None:
    honest = frame(TEXT[:1000])
    at = honest.index(bytes.fromhex("28b52ffd")) + 5
    assert int.from_bytes(honest[at : at + 2], "little") + 256 == 1000
    for size in (999, 1001, 900, 1100):
        lying = bytearray(honest)
        lying[at : at + 2] = (size - 256).to_bytes(2, "little")
        refused(bytes(lying))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes((ZSTD,)),
        b"\x02" + frame(TEXT)[1:],
        b"\x03abc",
        bytes((ZSTD,)) + b"nonsense" * 10,
        frame(TEXT)[:-20],
        frame(TEXT) + b"more",
        frame(TEXT) + frame(TEXT)[1:],
        frame(b""),
        frame(TEXT[:1000], write_content_size=False),
        frame(TEXT, dict_data=zstandard.ZstdCompressionDict(TEXT[:4000])),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    refused(data)


def test_damage_anywhere_gives_other_bytes_or_an_error_and_nothing_else() -> None:
    good = frame(TEXT[:3000])
    rng = random.Random(5)
    end = coding()
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with suppress(ProtocolViolation):
            assert len(end.decode_message(bytes(data), LIMIT)) <= ALLOWED + RATIO * len(data)
    assert end.decode_message(good, LIMIT) == TEXT[:3000]

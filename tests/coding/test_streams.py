"""One direction of a compressed stream: any cuts, any data, and any lies."""

from __future__ import annotations

import random
import resource
from contextlib import suppress
from struct import pack

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from jsp.coding.streams import CHUNK, Decoder, Encoder
from jsp.coding.zstd import ALLOWED, RATIO, WINDOW_LOG, ZSTD
from jsp.config import Compression
from jsp.errors import Code, ProtocolViolation
from tests.coding.test_zstd import DICTIONARY, PLAIN_SETTING, TEXT, coding
from tests.profiles import examples


def pair(setting: Compression = PLAIN_SETTING, compress: bool = True) -> tuple[Encoder, Decoder]:
    return Encoder(coding(setting), compress), Decoder(coding(setting))


def read(decoder: Decoder, data: bytes, piece: int = 1 << 20) -> bytes:
    out = bytearray()
    for start in range(0, len(data), piece):
        decoder.feed(data[start : start + piece])
        while decoder.step():
            out += decoder.take(7000)
    return bytes(out)


def refused(data: bytes, decoder: Decoder | None = None) -> str:
    with pytest.raises(ProtocolViolation) as error:
        read(decoder or pair()[1], data)
    assert error.value.code == Code.CODING
    return error.value.reason


WRITES = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda n, at: TEXT[at : at + n], st.integers(0, 90_000), st.integers(0, 10_000)),
        st.builds(lambda n, seed: random.Random(seed).randbytes(n), st.integers(0, 70_000), st.integers()),
        st.builds(bytes, st.integers(0, 300_000)),
    ),
    max_size=8,
)


@examples(60)
@given(WRITES, st.integers(1, 100), st.booleans(), st.booleans())
def test_any_writes_come_back_each_when_it_has_arrived(
    writes: list[bytes], cuts: int, compress: bool, shared: bool
) -> None:
    encoder, decoder = pair(DICTIONARY if shared else PLAIN_SETTING, compress)
    for data in writes:
        coded = encoder.encode(data)
        assert read(decoder, coded, len(coded) // cuts + 1) == data
        assert decoder.ends_well()


def test_repetition_is_found_across_small_writes() -> None:
    encoder, decoder = pair()
    sent = 0
    for i in range(300):
        line = b'{"time": %d, "level": "info", "text": "a request was answered"}\n' % i
        coded = encoder.encode(line)
        sent += len(coded)
        assert read(decoder, coded) == line
    assert sent < 300 * 30


def test_data_that_does_not_get_smaller_costs_little_and_needs_no_compressor() -> None:
    encoder, decoder = pair()
    noise = random.Random(3).randbytes(1 << 20)
    coded = encoder.encode(noise)
    assert len(coded) <= len(noise) + 5 * (len(noise) // CHUNK + 1)
    assert encoder._stream is None
    assert read(decoder, coded) == noise
    # And what can be made smaller later on is.
    tail = encoder.encode(TEXT * 30)
    assert len(tail) < len(TEXT) * 15
    assert read(decoder, tail) == TEXT * 30


def test_what_would_come_to_too_much_is_mixed_with_what_is_sent_as_it_is() -> None:
    encoder, decoder = pair()
    zeros = bytes(16 << 20)
    coded = encoder.encode(zeros)
    assert read(decoder, coded) == zeros
    assert len(zeros) / (RATIO + 5) < len(coded) < len(zeros) / (RATIO - 20)


def test_nothing_is_made_before_it_is_needed() -> None:
    encoder, decoder = pair()
    assert encoder.encode(b"") == bytes((ZSTD,))
    assert (encoder._stream, decoder._stream) == (None, None)
    plain = Encoder(coding(), False)
    assert plain.encode(b"abc") == b"\0abc" and plain.encode(b"def") == b"def"
    assert read(decoder, b"\0abc") == b"abc" and decoder.plain


# --- lies ------------------------------------------------------------------------------------------------------


def compressed(kind: int, size: int, data: bytes) -> bytes:
    return pack(">BHH", kind, size, len(data)) + data


def flushed(data: bytes, window_log: int = WINDOW_LOG) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(data) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


HEAD = bytes((ZSTD,))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x02", "unknown coding"),
        (b"\xff", "unknown coding"),
        (HEAD + pack(">BH", 3, 5), "none"),
        (HEAD + pack(">BH", 0, 0), "none"),
        (HEAD + pack(">BH", 0, CHUNK + 1), "none"),
        (HEAD + compressed(1, 5, flushed(b"12345")), "nothing"),
        (HEAD + compressed(2, 6, flushed(b"12345")), "less"),
        (HEAD + compressed(2, 5, b""), "less"),
        (HEAD + compressed(2, 5, b"nonsense and more"), "cannot be read"),
        (HEAD + compressed(2, 5, flushed(b"12345")) + compressed(1, 5, b"nonsense and more"), "cannot be read"),
        (HEAD + compressed(2, 5, zstandard.ZstdCompressor().compress(b"12345")) + compressed(1, 5, b"abc"), "read"),
        (HEAD + compressed(2, 10, zstandard.ZstdCompressor().compress(b"12345") * 2), "behind the end"),
        (HEAD + compressed(2, 5, flushed(TEXT, WINDOW_LOG + 1)), "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_chunk_is_refused(data: bytes, why: str) -> None:
    assert why in refused(data)


def test_more_than_a_chunk_says_is_not_made() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = flushed(bytes(1 << 20))
    _, decoder = pair()
    assert read(decoder, HEAD + compressed(2, 10, bomb)) == bytes(10)
    assert "more comes out" in refused(compressed(1, 10, bomb) * 3, decoder)
    huge = flushed(bytes(1 << 28))
    assert len(huge) < 1 << 16
    assert read(pair()[1], HEAD + compressed(2, CHUNK, huge)) == bytes(CHUNK)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_much_out_of_little_ends() -> None:
    _, decoder = pair()
    chunk = flushed(bytes(CHUNK))
    decoder.feed(HEAD)
    count = 0
    while decoder._given + CHUNK <= ALLOWED + RATIO * (decoder._received + len(chunk)):
        assert read(decoder, compressed(2, CHUNK, chunk)) == bytes(CHUNK)
        count += 1
    assert count < 10
    assert "more would come out" in refused(compressed(2, CHUNK, chunk), decoder)


def test_little_is_held_whatever_comes() -> None:
    _, decoder = pair()
    decoder.feed(HEAD + pack(">BHH", 2, CHUNK, 0xFFFF))
    for _ in range(100):
        decoder.feed(bytes(600))
        assert not decoder.step()
    assert len(decoder._coded) < 0x10000
    assert not decoder.ends_well()


def test_damage_anywhere_gives_other_bytes_or_an_error_and_nothing_else() -> None:
    encoder, _ = pair()
    good = encoder.encode(TEXT[:50_000]) + encoder.encode(TEXT[:500])
    rng = random.Random(7)
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with suppress(ProtocolViolation):
            assert len(read(pair()[1], bytes(data), 3000)) <= ALLOWED + RATIO * len(data)

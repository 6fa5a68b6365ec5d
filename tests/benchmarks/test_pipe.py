"""The limit's packets: sealed ones open again, forged ones do not, and the compiled form does the same."""

from __future__ import annotations

from types import ModuleType

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks import compiling, pipe
from jsp.compiled import is_compiled

SIZE = 200
COUNT = 5
PAYLOAD = bytes(range(SIZE - pipe.HEADER - pipe.TAG))


def sealed_and_opened(module: ModuleType, number: int) -> tuple[bytes, int, list[bytes]]:
    """A train as sent, how many packets were opened, and their plaintexts."""
    aead = AESGCM(bytes(32))
    buffer = bytearray(SIZE * COUNT)
    slots = module.views(buffer, SIZE, COUNT)
    module.seal_train(aead.encrypt_into, PAYLOAD, buffer, slots, bytearray(pipe.NONCE), SIZE, number)
    sent = bytes(buffer)
    opened = module.open_batch(aead.decrypt_into, buffer, slots, bytearray(pipe.NONCE), SIZE, len(buffer))
    return sent, opened, [bytes(slot[2]) for slot in slots]


@pytest.mark.parametrize("number", [0, 255, 1 << 40])
def test_what_was_sealed_opens(number: int) -> None:
    sent, opened, plain = sealed_and_opened(pipe, number)
    assert opened == COUNT and plain == [PAYLOAD] * COUNT
    assert len({sent[i * SIZE : (i + 1) * SIZE] for i in range(COUNT)}) == COUNT, "every packet has its own nonce"


def test_a_forged_packet_does_not_open() -> None:
    aead = AESGCM(bytes(32))
    buffer = bytearray(SIZE)
    slots = pipe.views(buffer, SIZE, 1)
    nonce = bytearray(pipe.NONCE)
    pipe.seal_train(aead.encrypt_into, PAYLOAD, buffer, slots, nonce, SIZE, 7)
    buffer[0] ^= 1
    with pytest.raises(InvalidTag):
        pipe.open_batch(aead.decrypt_into, buffer, slots, nonce, SIZE, SIZE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what compilers say
@pytest.mark.skipif(not is_compiled(), reason="the limit is compiled when jsp is")
def test_compiled_it_does_the_same() -> None:
    assert compiling.build() == "compiled by Cython"
    compiled = compiling.load()
    assert compiled is not pipe
    assert sealed_and_opened(compiled, 1 << 40) == sealed_and_opened(pipe, 1 << 40)


def test_it_runs_as_it_is_when_it_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(target: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(compiling, "_compile", fail)
    monkeypatch.setattr(compiling, "_CACHE", compiling._HERE / "nowhere")
    assert compiling.build().startswith("pure Python")
    assert compiling.load() is pipe

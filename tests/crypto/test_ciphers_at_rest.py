"""Keys without ciphers: made at first use, let go of by `rest`, made again; by any provider on either side."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from jsp.crypto.aead import HeaderMasker, PacketAead
from jsp.crypto.protection import OpenKeys, SealKeys
from jsp.crypto.provider import PORTABLE, Provider
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305
from tests.crypto.packets import open_batch, seal, seal_train
from tests.crypto.providers import PROVIDERS
from tests.profiles import examples

SUITES = [CHACHA20_POLY1305, AES_256_GCM]
SECRET = bytes(range(32))


@dataclass
class Counting:
    """A provider that counts what it makes."""

    made: list[str] = field(default_factory=list)

    def aead(self, suite: int, key: bytes) -> PacketAead:
        self.made.append("aead")
        return PORTABLE.aead(suite, key)

    def masker(self, key: bytes) -> HeaderMasker:
        self.made.append("masker")
        return PORTABLE.masker(key)

    def take(self) -> list[str]:
        made, self.made = self.made, []
        return sorted(made)


def test_ciphers_are_made_when_they_are_used_and_after_a_rest_again() -> None:
    counting = Counting()
    counted = Provider("counting 1.0", counting.aead, counting.masker)
    sealer, opener = SealKeys(AES_256_GCM, SECRET, 0, counted), OpenKeys(AES_256_GCM, SECRET, 0, counted)
    assert counting.take() == []
    for n in range(3):
        packet = seal(sealer, 10 * n)
        assert counting.take() == ["aead", "masker"]
        assert open_batch(opener, packet, largest=10 * n - 1) == [(10 * n, b"some text")]
        assert counting.take() == ["aead", "masker"]
        for more in range(1, 4):
            assert len(open_batch(opener, seal(sealer, 10 * n + more), largest=10 * n)) == 1
        assert counting.take() == []
        for keys in (sealer, opener):
            keys.rest()
            keys.rest()


def test_an_update_after_a_rest_takes_the_next_keys() -> None:
    counting = Counting()
    counted = Provider("counting 1.0", counting.aead, counting.masker)
    sealer, opener = SealKeys(AES_256_GCM, SECRET), OpenKeys(AES_256_GCM, SECRET, 0, counted)
    old = [seal(sealer, n) for n in (0, 1)]
    sealer.rest()
    sealer.update()
    new = seal(sealer, 5)
    # A forged phase bit has the next keys made, and a rest lets go of their cipher too.
    forged = bytearray(seal(sealer, 4))
    forged[-1] ^= 1
    opener.update_allowed = True
    assert open_batch(opener, bytes(forged)) == []
    assert len(open_batch(opener, old[0])) == 1
    assert counting.take() == ["aead", "aead", "masker"]
    opener.rest()
    assert len(open_batch(opener, new, largest=0)) == 1
    assert (opener.phase, opener.updated) == (1, True)
    assert counting.take() == ["aead", "masker"]
    # The previous generation rests as well.
    assert len(open_batch(opener, old[1], largest=5)) == 1
    opener.rest()
    counting.take()
    assert len(open_batch(opener, old[1], largest=5)) == 1
    assert len(open_batch(opener, new, largest=5)) == 1
    assert counting.take() == ["aead", "aead", "masker"]


@examples(40)
@given(
    seed=st.integers(0, 1 << 30),
    suite=st.sampled_from(SUITES),
    sealing=st.sampled_from(PROVIDERS),
    opening=st.sampled_from(PROVIDERS),
)
def test_what_one_provider_seals_another_opens_through_updates_rests_and_damage(
    seed: int, suite: int, sealing: Provider, opening: Provider
) -> None:
    rng = random.Random(seed)
    sealer, opener = SealKeys(suite, SECRET, 0, sealing), OpenKeys(suite, SECRET, 0, opening)
    number, forged = 0, 0
    for _ in range(12):
        count = rng.randint(1, 4)
        size = rng.choice((2, 60, 1400, 15_000))
        texts = [rng.randbytes(size) for _ in range(count)]
        number_size = rng.choice((2, 4))
        data, segment = seal_train(sealer, texts, number, number_size=number_size, path_id=3)
        damaged = bytearray(data)
        victim = rng.randrange(-2, count)
        if victim >= 0:
            # In the header, the text or the tag; not the phase bit, which is a matter of its own.
            where = rng.choice((rng.randrange(1, 5), 7, rng.randrange(5, segment), segment - 1 - rng.randrange(16)))
            damaged[victim * segment + where] ^= 1 << rng.randrange(8)
            forged += 1
        opened = open_batch(opener, bytes(damaged), segment, path_id=3, largest=number - 1)
        assert opened == [(number + i, text) for i, text in enumerate(texts) if i != victim]
        assert opener.forgeries == forged
        number += count
        if opened and rng.random() < 0.4:
            sealer.update()
            opener.drop_previous()
            opener.update_allowed = True
        for keys in (sealer, opener):
            if rng.random() < 0.3:
                keys.rest()

"""The providers that are present here, and ones that are wrong in one way each."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from jsp.crypto.aead import HeaderMasker, PacketAead
from jsp.crypto.provider import PORTABLE, Provider, find_libcrypto
from jsp.wire.buffer import PacketBuffer

LIBCRYPTO = find_libcrypto()
PROVIDERS = [PORTABLE] if LIBCRYPTO is None else [PORTABLE, LIBCRYPTO]


def name_of(provider: Provider) -> str:
    return provider.name.split()[0]


Sealing = Callable[..., None]
Opening = Callable[..., bool]


class WrongAead(PacketAead):
    """A right one behind `seal` and `open`, which do what they like with it."""

    __slots__ = ("inner", "opened", "opening", "sealed", "sealing")

    def __init__(self, suite: int, key: bytes, seal: Sealing, open_: Opening) -> None:
        self.inner = PORTABLE.aead(suite, key)
        self.sealing, self.opening = seal, open_
        self.sealed = self.opened = 0

    def seal_train(self, slots: PacketBuffer, *words: int) -> None:
        self.sealed += 1
        self.sealing(self, slots, *words)

    def open_packet(self, slots: PacketBuffer, *words: int) -> bool:
        self.opened += 1
        return self.opening(self, slots, *words)


class WrongMasker(HeaderMasker):
    """Forgets the key from the eighth block on."""

    __slots__ = ("inner",)

    def __init__(self, key: bytes) -> None:
        self.inner = PORTABLE.masker(key)

    def masks(self, data: bytearray, start: int, step: int, count: int) -> bytearray:
        return self.inner.masks(data, start, step, count)[: 16 * 7] + bytes(16 * count)


def _seal(aead: WrongAead, slots: PacketBuffer, *words: int) -> None:
    aead.inner.seal_train(slots, *words)


def _open(aead: WrongAead, slots: PacketBuffer, *words: int) -> bool:
    return aead.inner.open_packet(slots, *words)


def _spoil_seal(at: int) -> Sealing:
    def seal(aead: WrongAead, slots: PacketBuffer, *words: int) -> None:
        aead.inner.seal_train(slots, *words)
        slots.data[at] ^= 1

    return seal


def _seal_another_number(aead: WrongAead, slots: PacketBuffer, *words: int) -> None:
    aead.inner.seal_train(slots, *words[:-1], words[-1] + 1)


def _seal_rightly_once(aead: WrongAead, slots: PacketBuffer, *words: int) -> None:
    if aead.sealed == 1:
        aead.inner.seal_train(slots, *words)


def _fail(aead: WrongAead, slots: PacketBuffer, *words: int) -> bool:
    raise RuntimeError("libcrypto failed")


def _accept_all(aead: WrongAead, slots: PacketBuffer, *words: int) -> bool:
    aead.inner.open_packet(slots, *words)
    return True


def _refuse_all(aead: WrongAead, slots: PacketBuffer, *words: int) -> bool:
    return False


def _ignore_header(aead: WrongAead, slots: PacketBuffer, *words: int) -> bool:
    return aead.inner.open_packet(slots, *words) or bool(slots.data[0] & 1)


def _forget_to_decrypt(aead: WrongAead, slots: PacketBuffer, *words: int) -> bool:
    before = bytes(slots.data)
    fine = aead.inner.open_packet(slots, *words)
    slots.data[:] = before
    return fine


def _wrong(seal: Sealing = _seal, open_: Opening = _open) -> Provider:
    return Provider("wrong 1.0", lambda suite, key: WrongAead(suite, key, seal, open_), PORTABLE.masker)


def _mac_short_ones(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message[:1000], "sha256")


def _fail_to_mac(key: bytes, message: bytes) -> bytes:
    raise RuntimeError("libcrypto failed")


WRONG = {
    "ciphertext": _wrong(seal=_spoil_seal(20)),
    "tag": _wrong(seal=_spoil_seal(-1)),
    "first byte of the text": _wrong(seal=_spoil_seal(12)),
    "nonce": _wrong(seal=_seal_another_number),
    "state left from the packet before": _wrong(seal=_seal_rightly_once),
    "fails to seal": _wrong(seal=_fail),
    "fails to open": _wrong(open_=_fail),
    "opens everything": _wrong(open_=_accept_all),
    "opens nothing": _wrong(open_=_refuse_all),
    "does not look at the header": _wrong(open_=_ignore_header),
    "does not decrypt": _wrong(open_=_forget_to_decrypt),
    "masks": Provider("wrong 1.0", PORTABLE.aead, WrongMasker),
    "hashes": Provider("wrong 1.0", PORTABLE.aead, PORTABLE.masker, lambda key, message: bytes(32)),
    "long messages": Provider("wrong 1.0", PORTABLE.aead, PORTABLE.masker, _mac_short_ones),
    "fails to hash": Provider("wrong 1.0", PORTABLE.aead, PORTABLE.masker, _fail_to_mac),
}

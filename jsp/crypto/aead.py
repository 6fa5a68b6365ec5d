# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What seals packets and masks headers: the interface of a provider, and the `cryptography` package behind it.

A provider works on trains where they lie: `PacketAead` is one AEAD key, `HeaderMasker` one header protection key.
Which packets to seal, which key a packet needs and what a forgery means is decided in `protection`, once for all
providers; which provider is used, in `provider`.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

import jsp.wire.memory as memory
from jsp.crypto.suites import IV_SIZE, make_aead, make_masker
from jsp.wire.buffer import PacketBuffer
from jsp.wire.packet import TAG_SIZE

_TAG = TAG_SIZE
# Lengths are C ints for some providers.
_SIZE_MAX = (1 << 31) - 1


def check_train(size: int, count: int, segment: int, end: int, header_size: int) -> None:
    """IndexError unless a buffer of `size` bytes holds that train, each packet with room for a header and a tag."""
    if (
        count < 1
        or not 0 <= header_size <= size
        or end > min(size, _SIZE_MAX)
        or segment < header_size + _TAG
        or end < header_size + _TAG
        or count - 1 > (end - header_size - _TAG) // segment
    ):
        raise IndexError("train outside of its buffer")


def check_packet(size: int, start: int, body: int, end: int) -> None:
    """IndexError unless a buffer of `size` bytes holds a header, a body up to `end` and a tag behind it."""
    if not 0 <= start <= body <= end <= min(size, _SIZE_MAX) - _TAG:
        raise IndexError("packet outside of its buffer")


class PacketAead:
    """One AEAD key. The nonce is 4 bytes `nonce_high` and 8 bytes `nonce_low`, both big-endian."""

    __slots__ = ()

    def seal_train(
        self,
        slots: PacketBuffer,
        count: int,
        segment: int,
        end: int,
        header_size: int,
        nonce_high: int,
        nonce_low: int,
        number: int,
    ) -> None:
        """Seal `count` packets that lie `segment` bytes apart in `slots`, the last one up to `end`, in place.

        Each is a header, which is authenticated, the text, and 16 bytes for the tag. `number` is XORed into the
        nonce of the first packet, the number after it into that of the second, and so on. IndexError when the
        buffer does not hold them.
        """
        raise NotImplementedError

    def open_packet(
        self, slots: PacketBuffer, start: int, body: int, end: int, nonce_high: int, nonce_low: int
    ) -> bool:
        """Open a packet in place: header `[start:body]`, ciphertext `[body:end]`, and the tag behind it.

        Whether it is authentic; when not, what is in `[body:end]` afterwards is undefined.
        """
        raise NotImplementedError


class HeaderMasker:
    """One header protection key: AES-256-ECB for both suites (spec section 7.3)."""

    __slots__ = ()

    def masks(self, data: bytearray, start: int, step: int, count: int) -> bytearray:
        """Masks of `count` packets, 16 bytes each, from samples that lie `step` bytes apart in `data`.

        The first begins at `start`; IndexError when they are not all there. What follows the masks is undefined.
        """
        raise NotImplementedError


class CryptographyAead(PacketAead):
    """`PacketAead` by the `cryptography` package."""

    __slots__ = ("_cipher", "_nonce")

    def __init__(self, suite: int, key: bytes) -> None:
        self._cipher = make_aead(suite, key)
        self._nonce = bytearray(IV_SIZE)

    def seal_train(
        self,
        slots: PacketBuffer,
        count: int,
        segment: int,
        end: int,
        header_size: int,
        nonce_high: int,
        nonce_low: int,
        number: int,
    ) -> None:
        check_train(len(slots.data), count, segment, end, header_size)
        encrypt_into = self._cipher.encrypt_into
        nonce = self._nonce
        memory.put_u64(nonce, 0, nonce_high << 32)
        start = 0
        for _ in range(count):
            stop = start + segment
            if stop > end:
                stop = end
            header, plain, sealed = slots.spans(start, start + header_size, stop - _TAG)
            memory.put_u64(nonce, 4, nonce_low ^ number)
            encrypt_into(nonce, plain, header, sealed)
            number += 1
            start = stop

    def open_packet(
        self, slots: PacketBuffer, start: int, body: int, end: int, nonce_high: int, nonce_low: int
    ) -> bool:
        check_packet(len(slots.data), start, body, end)
        header, plain, sealed = slots.spans(start, body, end)
        nonce = self._nonce
        memory.put_u64(nonce, 0, nonce_high << 32)
        memory.put_u64(nonce, 4, nonce_low)
        try:
            self._cipher.decrypt_into(nonce, sealed, header, plain)
        except InvalidTag:
            return False
        return True


class CryptographyMasker(HeaderMasker):
    """`HeaderMasker` by the `cryptography` package."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = make_masker(key)

    def masks(self, data: bytearray, start: int, step: int, count: int) -> bytearray:
        samples = memory.gather(data, start, step, count)
        # Made anew each time: kept ones were four kilobytes of every idle connection. One block more than is filled,
        # as `update_into` wants it.
        masks = bytearray(len(samples) + 16)
        self._cipher.update_into(samples, masks)
        return masks

# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The packet seal: AEAD, header protection and key update, a train of packets at a time (spec section 7).

`LongKeys` seal single packets of the handshake, whose headers are clear. `SealKeys` and `OpenKeys` hold one direction
each of the 1-RTT level: a train is sealed in place, then all its headers are masked with one AES call; on the way in
the headers of a whole receive batch are unmasked with one call, then each packet is opened in place. The ciphers
themselves are a provider's (`aead`). They have kilobytes and are quickly made, so they are made when they are first
used, and `rest` lets go of them.

The nonce is iv XOR (path id, packet number): packet numbers of two paths may be equal, their nonces are not.
"""

from __future__ import annotations

import os
from typing import Any

from cryptography.exceptions import InvalidTag

import jsp.crypto.guard as guard
import jsp.crypto.kdf as kdf
import jsp.wire.memory as memory
import jsp.wire.packet as packet
from jsp.crypto.aead import HeaderMasker, PacketAead
from jsp.crypto.kdf import label_info
from jsp.crypto.provider import Provider, chosen
from jsp.crypto.suites import AES_256_GCM, FORGERY_LIMIT, IV_SIZE, KEY_SIZE, SEAL_LIMIT, make_aead
from jsp.errors import Code, ProtocolViolation
from jsp.wire.buffer import PacketBuffer
from jsp.wire.packet import SAMPLE_OFFSET, SHORT_MASK, SHORT_PHASE, SHORT_PN4, SHORT_RESERVED, TAG_SIZE

_TAG = TAG_SIZE
_MASK = SHORT_MASK
_PN4 = SHORT_PN4
_PHASE = SHORT_PHASE
_RESERVED = SHORT_RESERVED
_SAMPLE = SAMPLE_OFFSET
_KEY_SIZE = KEY_SIZE
_IV_SIZE = IV_SIZE
_KEY = label_info(b"key", KEY_SIZE)
_IV = label_info(b"iv", IV_SIZE)
_HP = label_info(b"hp", KEY_SIZE)

# A train or receive batch holds at most this many packets (64 KiB of the smallest ones would be more; GSO and
# GRO stop at 128).
BATCH_MAX = 128
_BATCH_MAX = BATCH_MAX


class LongKeys:
    """One direction of the Initial or Handshake level; a few packets, so always by the `cryptography` package."""

    __slots__ = ("_aead", "_iv_low", "_nonce", "_owner")

    def __init__(self, secret: bytes, suite: int = AES_256_GCM, owner: int = 0) -> None:
        """`owner`: the process that may seal; 0: this one."""
        self._aead = make_aead(suite, kdf.hkdf_expand(secret, _KEY, _KEY_SIZE))
        iv = kdf.hkdf_expand(secret, _IV, _IV_SIZE)
        self._nonce = bytearray(iv)
        self._iv_low = int.from_bytes(iv[4:], "big")
        self._owner = owner or os.getpid()

    def __repr__(self) -> str:
        return "<LongKeys>"

    def seal(self, header: bytes, number: int, plaintext: bytes | bytearray) -> bytearray:
        """Ciphertext and tag."""
        guard.check_fork(self._owner)
        out = bytearray(len(plaintext) + _TAG)
        memory.put_u64(self._nonce, 4, self._iv_low ^ number)
        self._aead.encrypt_into(self._nonce, plaintext, header, out)
        return out

    def open(self, header: bytes | memoryview, number: int, sealed: bytes | memoryview) -> bytearray | None:
        """The plaintext, or None when it does not authenticate."""
        if len(sealed) < _TAG:
            return None
        out = bytearray(len(sealed) - _TAG)
        try:
            memory.put_u64(self._nonce, 4, self._iv_low ^ number)
            self._aead.decrypt_into(self._nonce, sealed, header, out)
        except InvalidTag:
            return None
        return out


class Generation:
    """The keys of one key phase in one direction."""

    __slots__ = ("_aead", "_provider", "iv_high", "iv_low", "secret", "suite")

    def __init__(self, suite: int, secret: bytes, provider: Provider) -> None:
        self.suite = suite
        self.secret = secret
        self._provider = provider
        self._aead: PacketAead | None = None
        # The nonce is iv XOR (path id, packet number): its first 4 and its last 8 bytes as numbers.
        iv = kdf.hkdf_expand(secret, _IV, _IV_SIZE)
        self.iv_high = int.from_bytes(iv[:4], "big")
        self.iv_low = int.from_bytes(iv[4:], "big")

    def __repr__(self) -> str:
        return "<Generation>"

    def __reduce__(self) -> Any:
        raise TypeError("keys are not pickled")

    def aead(self) -> PacketAead:
        """The cipher of these keys."""
        if self._aead is None:
            self._aead = self._provider.aead(self.suite, kdf.hkdf_expand(self.secret, _KEY, _KEY_SIZE))
        return self._aead

    def rest(self) -> None:
        """Let go of the cipher until it is needed again."""
        self._aead = None

    def next(self) -> Generation:
        """The keys after a key update (RFC 9001 section 6)."""
        return Generation(self.suite, kdf.expand_label(self.secret, b"ku", b"", len(self.secret)), self._provider)


class HeaderKeys:
    """What both directions have: the header protection, which key updates do not change, and an owner."""

    __slots__ = ("_mask_key", "_masker", "_owner", "_provider")

    def __init__(self, secret: bytes, owner: int, provider: Provider | None) -> None:
        self._provider = provider or chosen()
        self._mask_key = kdf.hkdf_expand(secret, _HP, _KEY_SIZE)
        self._masker: HeaderMasker | None = None
        self._owner = owner or os.getpid()

    def __reduce__(self) -> Any:
        raise TypeError("keys are not pickled")

    def _masks(self, data: bytearray, sample: int, segment: int, count: int) -> bytearray:
        if self._masker is None:
            self._masker = self._provider.masker(self._mask_key)
        return self._masker.masks(data, sample, segment, count)


class SealKeys(HeaderKeys):
    """The sending direction of the 1-RTT level.

    Attributes:
        phase: key phase bit now in use.
        sealed, sealed_bytes: packets sealed with the current generation, and their bytes.
        update_at: how many packets make a key update due.
    """

    __slots__ = ("_generation", "_limit", "phase", "sealed", "sealed_bytes", "update_at")

    def __init__(self, suite: int, secret: bytes, owner: int = 0, provider: Provider | None = None) -> None:
        """`owner`: the process that may seal; 0: this one. `provider`: None: the one that was chosen."""
        HeaderKeys.__init__(self, secret, owner, provider)
        self._generation = Generation(suite, secret, self._provider)
        self.phase = 0
        self.sealed = 0
        self.sealed_bytes = 0
        self.update_at = SEAL_LIMIT[suite]
        # As many again to bring the update about, and then no more.
        self._limit = 2 * self.update_at

    def __repr__(self) -> str:
        return "<SealKeys>"

    def exhausted(self) -> bool:
        """Whether sealing more would break the AEAD's limit: the connection must close (spec section 7.5)."""
        return self.sealed >= self._limit

    def rest(self) -> None:
        """Nothing is to be sealed for a while: let go of the ciphers, which come back when they are needed."""
        self._masker = None
        self._generation.rest()

    def update(self) -> None:
        """On to the next key phase."""
        guard.check_fork(self._owner)
        self._generation = self._generation.next()
        self.phase ^= 1
        self.sealed = 0
        self.sealed_bytes = 0

    def seal_train(
        self, slots: PacketBuffer, count: int, segment: int, end: int, header_size: int, path_id: int, number: int
    ) -> None:
        """Seal `count` packets that lie `segment` bytes apart in `slots`, in place, and mask their headers.

        The headers (`header_size` bytes) hold the clear packet number already; each packet's last 16 bytes are
        left for the tag; the last packet ends, tag included, at `end`. `number` belongs to the first packet.
        """
        guard.check_fork(self._owner)
        generation = self._generation
        generation.aead().seal_train(
            slots, count, segment, end, header_size, generation.iv_high ^ path_id, generation.iv_low, number
        )
        self.sealed += count
        self.sealed_bytes += end
        self._mask(slots.data, count, segment, header_size)

    def _mask(self, data: bytearray, count: int, segment: int, header_size: int) -> None:
        four = data[0] & _PN4
        number_at = header_size - (4 if four else 2)
        sample = number_at + _SAMPLE
        masks = self._masks(data, sample, segment, count)
        start = 0
        j = 0
        for _ in range(count):
            data[start] ^= masks[j] & _MASK
            at = start + number_at
            data[at] ^= masks[j + 1]
            data[at + 1] ^= masks[j + 2]
            if four:
                data[at + 2] ^= masks[j + 3]
                data[at + 3] ^= masks[j + 4]
            start += segment
            j += 16


class OpenKeys(HeaderKeys):
    """The receiving direction of the 1-RTT level.

    Attributes:
        phase: key phase bit of the current generation.
        phase_start: by path, the lowest number seen under it while the previous generation is still kept.
        forgeries: packets that did not authenticate, over the key's life.
        updated: set when the peer moved to the next phase; the owner clears it.
        update_allowed: whether the peer may do so now; the owner sets it when it acknowledges the present phase.
    """

    __slots__ = (
        "_current", "_next", "_previous",
        "forgeries", "forgery_limit", "phase", "phase_start", "update_allowed", "updated",
    )  # fmt: skip

    def __init__(self, suite: int, secret: bytes, owner: int = 0, provider: Provider | None = None) -> None:
        """`owner`: the process that may derive further keys; 0: this one. `provider`: None: the one that was chosen."""
        HeaderKeys.__init__(self, secret, owner, provider)
        self._current = Generation(suite, secret, self._provider)
        self._next: Generation | None = None
        self._previous: Generation | None = None
        self.phase = 0
        self.phase_start: dict[int, int] = {}
        self.forgeries = 0
        self.forgery_limit = FORGERY_LIMIT[suite]
        self.updated = False
        self.update_allowed = False

    def __repr__(self) -> str:
        return "<OpenKeys>"

    def rest(self) -> None:
        """Nothing is to be opened for a while: let go of the ciphers, which come back when they are needed."""
        self._masker = None
        self._current.rest()
        if self._previous is not None:
            self._previous.rest()
        if self._next is not None:
            self._next.rest()

    def open_batch(
        self, slots: PacketBuffer, start: int, end: int, segment: int, number_at: int, path_id: int, largest: int
    ) -> list[tuple[int, int, int]]:
        """Open the short packets that lie `segment` bytes apart in `slots[start:end]`, in place.

        `number_at` is where the packet number stands in each header, `largest` the highest number seen on the
        path. Returns (number, plaintext start, plaintext end) of those that authenticate, in order.
        """
        data = slots.data
        least = number_at + _SAMPLE + 16
        if end - start > segment and (end - start) % segment and (end - start) % segment < least:
            end -= (end - start) % segment
        if end - start < least or segment < least:
            return []
        count = -(-(end - start) // segment)
        if count > _BATCH_MAX:
            return []
        masks = self._masks(data, start + number_at + _SAMPLE, segment, count)
        opened: list[tuple[int, int, int]] = []
        j = 0
        while start < end:
            stop = start + segment
            if stop > end:
                stop = end
            first = data[start] ^ (masks[j] & _MASK)
            at = start + number_at
            truncated = ((data[at] ^ masks[j + 1]) << 8) | (data[at + 1] ^ masks[j + 2])
            if first & _PN4:
                truncated = (truncated << 16) | ((data[at + 2] ^ masks[j + 3]) << 8) | (data[at + 3] ^ masks[j + 4])
                number = packet.decode_number(truncated, 32, largest)
                body = at + 4
                data[at:body] = truncated.to_bytes(4, "big")
            else:
                number = packet.decode_number(truncated, 16, largest)
                body = at + 2
                data[at] = truncated >> 8
                data[at + 1] = truncated & 255
            data[start] = first
            if self._open(slots, start, body, stop - _TAG, first, path_id, number):
                opened.append((number, body, stop - _TAG))
                if number > largest:
                    largest = number
            start = stop
            j += 16
        return opened

    def _open(
        self, slots: PacketBuffer, start: int, body: int, end: int, first: int, path_id: int, number: int
    ) -> bool:
        generation = self._current
        if (first & _PHASE != 0) != self.phase:
            other = self._other_generation(path_id, number)
            if other is None:
                return False
            generation = other
        if not generation.aead().open_packet(
            slots, start, body, end, generation.iv_high ^ path_id, generation.iv_low ^ number
        ):
            self.forgeries += 1
            if self.forgeries >= self.forgery_limit:
                raise ProtocolViolation(Code.AEAD_LIMIT, "too many forged packets")
            return False
        if first & _RESERVED:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "reserved bits set")
        if generation is self._next:
            self._advance(path_id, number)
        elif self._previous is not None and generation is self._current:
            self.phase_start[path_id] = min(number, self.phase_start.get(path_id, number))
        return True

    def _other_generation(self, path_id: int, number: int) -> Generation | None:
        # SPEC 7.5: the other phase bit means the previous keys below the current phase's first number on
        # that path (or when the path has not shown it yet), the next ones above it.
        if self._previous is not None and number < self.phase_start.get(path_id, number + 1):
            return self._previous
        if self._next is None:
            guard.check_fork(self._owner)
            self._next = self._current.next()
        return self._next

    def _advance(self, path_id: int, number: int) -> None:
        if not self.update_allowed:
            raise ProtocolViolation(Code.KEY_UPDATE, "key update too early")
        guard.check_fork(self._owner)
        self._previous, self._current, self._next = self._current, self._next or self._current, None
        self.phase ^= 1
        self.phase_start = {path_id: number}
        self.updated = True
        self.update_allowed = False

    def drop_previous(self) -> None:
        """Forget the previous generation; packets still under way with it are lost."""
        self._previous = None

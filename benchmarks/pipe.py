# cython: language_level=3, annotation_typing=False, boundscheck=False, wraparound=False
"""What no protocol can do without: seal each packet of a train, open each packet of a receive batch.

No acknowledgements, no streams, no header protection. The header is 13 bytes in clear, 8 of them the packet number;
views of every packet are made once, and there is one nonce buffer. `compiling` compiles this file with the types of
`pipe.pxd`; it runs as it is too.
"""

from __future__ import annotations

HEADER = 13
TAG = 16
NONCE = 12
_HEADER = HEADER
_TAG = TAG
_NUMBER_AT = 5


def views(buffer: bytearray, size: int, count: int) -> list[tuple[memoryview, memoryview, memoryview]]:
    """For each of `count` packets of `size` bytes in `buffer`: its header, all behind it, and the plaintext's place."""
    view = memoryview(buffer)
    return [
        (
            view[start : start + _HEADER],
            view[start + _HEADER : start + size],
            view[start + _HEADER : start + size - _TAG],
        )
        for start in range(0, size * count, size)
    ]


def seal_train(encrypt_into, payload, buffer, slots, nonce, size, number):
    """Seal `payload` into every packet of `slots`, numbered from `number` on."""
    start = 0
    for i in range(len(slots)):
        for k in range(8):
            byte = (number >> (8 * k)) & 255
            buffer[start + _NUMBER_AT + k] = byte
            nonce[4 + k] = byte
        slot = slots[i]
        encrypt_into(nonce, payload, slot[0], slot[1])
        start += size
        number += 1


def open_batch(decrypt_into, buffer, slots, nonce, size, received):
    """Open the packets of `size` bytes in the `received` bytes of `buffer`, in place; how many there were."""
    start = 0
    count = 0
    while start < received:
        for k in range(8):
            nonce[4 + k] = buffer[start + _NUMBER_AT + k]
        slot = slots[count]
        decrypt_into(nonce, slot[1], slot[0], slot[2])
        start += size
        count += 1
    return count

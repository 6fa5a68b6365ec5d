# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Frames of jsp-rpc/1: the wire format, in full, and the code that reads and writes it.

**Lanes.** A connection with the application protocol `jsp-rpc/1` carries frames on unidirectional streams, called
lanes. Each side opens the lanes it sends on when it first needs them, at most three, and keeps them until the
connection ends; ending or resetting one earlier is an error. Any frame may come on any lane. Senders use three so
that large frames do not hold up small ones: one for frames up to 32 KiB (most urgent), one for items, one for the
rest (least urgent). What has to stay in order - a request, what the client adds to it and its CANCEL; the items of a
call and its end - goes on one lane.

**Frames.** A lane is a sequence of

    size     4 bytes, big-endian: how many bytes follow, 5 to the receiver's `max_frame` (16 MiB)
    kind     1 byte
    call     4 bytes, big-endian: which call; chosen by the client, unlike any other under way, not soon used again
    payload  one MessagePack value, or nothing

    kind        from    payload                     meaning
    CALL    1   client  [method, args, kwargs]      run it; answered by REPLY or ERROR
    NOTIFY  2   client  [method, args, kwargs]      run it; REPLY with nil says that it is over, never more
    STREAM  3   client  [method, args, kwargs]      run it; answered by ITEMs and END, or ERROR
    CANCEL  4   client  -                           stop it; answered by what ends the call
    REPLY   5   server  the result                  the call is over
    ERROR   6   server  [code, name, words, trace]  the call is over; codes: `jsp.rpc.errors.ErrorCode`
    ITEM    7   both    the item                    one more
    END     8   both    -                           no more items; from the server: the call is over
    CREDIT  9   both    how many bytes, above 0     as many more may be sent as items of this call

`args` is an array, `kwargs` a map with text keys. CALL and STREAM plus 16 announce that one of the arguments is
streamed: in its place stands extension 1 with no data, and the items follow as ITEM and END from the client.

A frame larger than the receiver takes is passed over unread and its call fails; the connection goes on. Every CANCEL
is answered, with ERROR (cancelled) when the call is not known, so that a client always learns that a call is over;
what comes for a call that is not known is passed over. Anything else that is not as described here closes the
connection with a code (`jsp.rpc.errors.CloseCode`).

**Bounds.** Per connection at most 1,000 calls are under way (from the request to what ends the call) and their
requests hold at most 64 MiB, payloads and streamed arguments (1 MiB each) together, unless it is one alone. Clients
wait before they would exceed that; servers close the connection of one that does. Items of a call and direction
may be sent ahead of CREDIT as long as their payloads, 64 bytes added to each, sum up to at most 1 MiB; one has at most
half of that. Credit is due when half of the window was taken.

**Values** are None, bool, int (64 bits), float, str, bytes, list, dict, and datetime with a time zone (extension -1;
arrives in UTC). Tuples arrive as lists. Keys of a dict can be any of these but a list or a dict: unlike MessagePack's
strict mode, which wants text there, because {1: "a"} is an everyday thing in Python, and numbers of 64 bits cannot be
chosen so that they collide often enough to slow a dict down. The last of equal keys counts. Containers may be nested
32 deep, and a payload may hold at most 1,600,000 values, which take 128 MB once unpacked (`jsp.rpc.bounds`). Both are
checked by the receiver, the latter before unpacking, and fail only the call.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

import msgpack

import jsp.rpc.bounds as bounds
from jsp.errors import LocalError
from jsp.rpc.bounds import DEPTH_MAX, VALUES_MAX, is_deep
from jsp.rpc.errors import BadFrame, TooLarge, Unserialisable

PROTOCOL = "jsp-rpc/1"

CALL = 1
NOTIFY = 2
STREAM = 3
CANCEL = 4
REPLY = 5
ERROR = 6
ITEM = 7
END = 8
CREDIT = 9
FEEDS = 16  # added to CALL and STREAM

MIB = 1 << 20
MAX_FRAME = 16 * MIB
# From the largest item on, which has a bound of its own, to a quarter of what 32 bits can tell.
_MAX_FRAME_LEAST = MIB
_MAX_FRAME_MOST = 1024 * MIB

CALLS_MAX = 1000
HELD_MAX = 64 * MIB
LANES_MAX = 3

# kind, call, payload; None in place of a payload that was too large and passed over
Frame = tuple[int, int, bytes | None]

_pack_head = Struct(">IBI").pack
_SIZE_SIZE = 4
_HEAD_SIZE = 9
_AFTER_SIZE = _HEAD_SIZE - _SIZE_SIZE

_NIL = b"\xc0"
_FED = 1  # extension type
_VALUES_MAX = VALUES_MAX
# A packer's buffer grows with what is packed and never shrinks; above this a new one is made.
_PACKER_KEEPS = 256 << 10

_unpack = msgpack.unpackb


class Fed:
    """Stands for the streamed argument while a request is encoded or decoded."""

    __slots__ = ()


FED = Fed()


def check_max_frame(max_frame: int) -> int:
    """`max_frame` if it can be one; LocalError if not."""
    if not _MAX_FRAME_LEAST <= max_frame <= _MAX_FRAME_MOST:
        raise LocalError(f"max_frame: {_MAX_FRAME_LEAST} to {_MAX_FRAME_MOST} bytes")
    return max_frame


# --- frames ------------------------------------------------------------------------------------------------------


class Framer:
    """Cuts what arrives on one lane into frames.

    Args:
        max_frame: the largest size taken; of larger frames only the head is given out.
    """

    __slots__ = ("_max", "_need", "_partial", "_skip")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max = max_frame
        self._partial = bytearray()
        self._need = 0
        self._skip = 0

    def receive(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`. Raises BadFrame."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                return []
            data = bytes(self._partial)
            self._partial = bytearray()
        frames: list[Frame] = []
        pos = 0
        end = len(data)
        self._need = _HEAD_SIZE
        while end - pos >= _HEAD_SIZE:
            size = _u32(data, pos)
            stop = pos + _SIZE_SIZE + size
            if size > self._max:
                frames.append((data[pos + 4], _u32(data, pos + 5), None))
                self._skip = max(0, stop - end)
            elif size < _AFTER_SIZE:
                raise BadFrame(f"a frame has at least {_AFTER_SIZE} bytes behind its size, not {size}")
            elif stop > end:
                self._need = stop - pos
                break
            else:
                frames.append((data[pos + 4], _u32(data, pos + 5), data[pos + _HEAD_SIZE : stop]))
            pos = stop
        if pos < end:
            self._partial += data[pos:]
        return frames


def _u32(data: bytes, at: int) -> int:
    high = data[at] << 8 | data[at + 1]
    return high << 16 | data[at + 2] << 8 | data[at + 3]


def bare_frame(kind: int, call: int) -> bytes:
    """A frame without payload: CANCEL, END."""
    return _pack_head(_AFTER_SIZE, kind, call)


def done_frame(call: int) -> bytes:
    """REPLY with nil."""
    return _pack_head(_AFTER_SIZE + 1, REPLY, call) + _NIL


def payload_size(frame: bytes) -> int:
    """How many bytes of a frame are payload."""
    return len(frame) - _HEAD_SIZE


class Encoder:
    """Makes frames out of values. One a connection: it keeps its buffer.

    Args:
        max_frame: the largest size sent.
    """

    __slots__ = ("_max", "_pack")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max = max_frame
        self._pack: Callable[[Any], bytes] = _new_packer()

    def frame(self, kind: int, call: int, value: Any) -> bytes:
        """A frame with `value` as its payload. Raises Unserialisable or TooLarge."""
        try:
            payload = self._pack(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Unserialisable(str(error)) from None
        size = len(payload) + _AFTER_SIZE
        if size > _PACKER_KEEPS:
            self._pack = _new_packer()
            if size > self._max:
                raise TooLarge(f"{len(payload)} bytes are more than max_frame allows ({self._max})")
        return _pack_head(size, kind, call) + payload

    def request(self, kind: int, call: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """CALL, NOTIFY or STREAM; `FED` among the arguments stands for the streamed one. Raises as `frame` does."""
        return self.frame(kind, call, (method, args, kwargs))


def _new_packer() -> Callable[[Any], bytes]:
    pack: Callable[[Any], bytes] = msgpack.Packer(default=_pack_other, datetime=True, buf_size=4096).pack
    return pack


def _pack_other(value: Any) -> Any:
    if value is FED:
        return msgpack.ExtType(_FED, b"")
    raise TypeError(f"values of type {type(value).__name__} cannot be sent")


# --- payloads ----------------------------------------------------------------------------------------------------


def decode(payload: bytes | None) -> Any:
    """The value in a payload.

    Raises:
        TooLarge: it was passed over, or would take too much memory.
        Unserialisable: it is nested too deep, or a dict has a list or dict as a key.
        BadFrame: it is no MessagePack value as described above.
    """
    return _decode(payload, _refuse_extension)


def decode_request(payload: bytes | None, feeds: bool) -> tuple[str, list[Any], dict[str, Any]]:
    """Method, arguments and keyword arguments of a request; `feeds`: `FED` is among them. Raises as `decode` does."""
    fed: list[Fed] = []
    value = _decode(payload, _taker(fed) if feeds else _refuse_extension)
    if type(value) is not list or len(value) != 3:
        raise BadFrame("a request is [method, args, kwargs]")
    method, args, kwargs = value
    if type(method) is not str or type(args) is not list or type(kwargs) is not dict:
        raise BadFrame("a request is [text, array, map]")
    for key in kwargs:
        if type(key) is not str:
            raise BadFrame("names of arguments are text")
    if feeds:
        # As an argument, not inside of one.
        places = [a for a in (*args, *kwargs.values()) if a is FED]
        if len(places) != 1 or len(fed) != 1:
            raise BadFrame("one argument of such a request is streamed")
    return method, args, kwargs


def _taker(fed: list[Fed]) -> Callable[[int, bytes], Fed]:
    """What unpacks extensions of a request with a streamed argument; `fed` gets a `FED` for each of them."""

    def on_extension(code: int, data: bytes) -> Fed:
        if code != _FED or data:
            _refuse_extension(code, data)
        fed.append(FED)
        return FED

    return on_extension


def decode_credit(payload: bytes | None) -> int:
    """The number of bytes in a CREDIT frame. Raises BadFrame."""
    value = decode(payload) if payload and len(payload) <= 9 else None
    if type(value) is not int or value <= 0:
        raise BadFrame("credit is a number above 0")
    return value


def check_bare(payload: bytes | None) -> None:
    """Raise BadFrame unless a frame came without payload, as CANCEL and END do."""
    if payload != b"":
        raise BadFrame("CANCEL and END have no payload")


def _refuse_extension(code: int, data: bytes) -> Any:
    raise BadFrame(f"extension {code} is not part of jsp-rpc/1")


def _decode(payload: bytes | None, on_extension: Callable[[int, bytes], Any]) -> Any:
    if payload is None:
        raise TooLarge("larger than the receiver's max_frame")
    # No value has less than one byte.
    if len(payload) > _VALUES_MAX and bounds.count_values(payload) > _VALUES_MAX:
        raise TooLarge(f"more than {VALUES_MAX} values in one payload")
    try:
        value = _unpack(payload, raw=False, strict_map_key=False, timestamp=3, ext_hook=on_extension)
    except BadFrame:
        raise
    except TypeError:
        raise Unserialisable("a dict has a list or a dict as a key") from None
    except (ValueError, OverflowError) as error:
        raise BadFrame(f"not a MessagePack value: {str(error) or type(error).__name__}") from None
    if bounds.may_be_deep(payload) and is_deep(value):
        raise Unserialisable(f"containers are nested deeper than {DEPTH_MAX}")
    return value

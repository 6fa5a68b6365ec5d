"""The frames of a session, and the bytes they are on the stream. All integers are big-endian.

    frame: u32 length of the body | u8 type | body

Who connects opens a stream and says OPEN; from then on one side is the sender and the other the receiver, whichever
of them connected. The sender walks its tree (START, ENTRIES, SCANNED) and goes on without waiting; the receiver
answers each file with a verdict, and the sender sends the data of those that are wanted, in that order:

    client     OPEN      msgpack {v, op, path, checksum, dry_run, exclude}
    sender     START     msgpack {single[, mode, mtime]}       what is copied: one thing, or a directory's contents
               ENTRIES   see `entries`
               SCANNED   -                                     that was the last entry
               WHOLE     u32 file | i64 mtime | u32 mode | 32 B hash | data         a file of one chunk
               BEGIN     u32 file | u64 size | i64 mtime | u32 mode                 a file chunk by chunk
               DATA      u32 file | u32 chunk | 32 B hash | data
               HOLES     u32 file | u32 first chunk | u32 number of chunks of zeros
               END       u32 file | 32 B root
               PASS      u32 file                cannot be read, so there is nothing (more) of it
               PLAN      u32 file | u64 bytes    what would have been sent, were this not a dry run
               FINISH    -                       every verdict has been served
    receiver   VERDICTS  msgpack {want, keep, refuse}: lists of file numbers
               HAVE      u32 file | hashes       of its next chunks as they are here already; before the verdict
               CANCEL    u32 file                do not go on with this one
               RESULT    -                       everything is in its place
    either     PROBLEM   msgpack [is an error, path, text]     one file; the rest goes on
               ABORT     msgpack text                          that was it

Chunks that a DATA or HOLES frame leaves out are those whose hash the receiver named and the sender found equal.

A frame type from 64 on that is not known is passed over, and so are keys and elements that are not known: that is
where later versions say more. Types below 64 that are not known end the session.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgpack

from jsp.transfer.chunks import CHUNK_MAX, HASH_SIZE, SIZE_MAX
from jsp.transfer.entries import MODE_MAX, check_mode, check_time, nearest_time
from jsp.transfer.errors import BadFrame

VERSION = 1

OPEN, START, ENTRIES, SCANNED, WHOLE, BEGIN, DATA, HOLES, END, PASS, PLAN, FINISH = range(1, 13)
VERDICTS, HAVE, CANCEL, RESULT = range(16, 20)
PROBLEM, ABORT = range(30, 32)
SKIPPABLE = 64

Body = bytes | bytearray

BODY_MAX = CHUNK_MAX + 64
# Chunks in one HOLES frame; the receiver makes as many hashes of it.
HOLES_MAX = 4096
# BEGIN of one file: a sender reads a file that changes under its eyes once more, and then gives it up.
BEGINS_MAX = 2
# A path or a sentence for people; longer ones are cut, before they are sent and when they come.
_PATH_MAX = 4096
_TEXT_MAX = 1000

# Patterns, bytes of one, bytes of all. Compiling one takes time that grows with the square of its length: with these
# bounds it is some seconds in a thread at the worst.
_EXCLUDE_MAX = 1000
_PATTERN_MAX = 1024
_PATTERNS_MAX = 65536

_HEADER = struct.Struct("!IB")
_WHOLE = struct.Struct("!IqI32s")
_BEGIN = struct.Struct("!IQqI")
_DATA = struct.Struct("!II32s")
_HOLES = struct.Struct("!III")
_END = struct.Struct("!I32s")
_PLAN = struct.Struct("!IQ")
_NUMBER = struct.Struct("!I")

# Taken off the stream at once; a chunk fits with the small frames around it.
_BUFFER = 512 * 1024


class Open(NamedTuple):
    """What a session is for.

    Attributes:
        push: whether the client is the sender.
        path: below the directory that is served, relative.
        checksum: compare files by their hashes rather than by size and mtime.
        dry_run: find out what would be sent, change nothing.
        exclude: patterns of what the sender leaves out.
    """

    push: bool
    path: bytes
    checksum: bool = False
    dry_run: bool = False
    exclude: tuple[bytes, ...] = ()


class Start(NamedTuple):
    """What the sender has.

    Attributes:
        single: one file or link, which may get another name; otherwise any number of entries.
        mode, mtime: of the directory whose contents are sent; None when it is not the directory itself that is meant.
    """

    single: bool
    mode: int | None = None
    mtime: int | None = None


class Whole(NamedTuple):
    """A file of at most one chunk."""

    number: int
    mtime: int
    mode: int
    hash: bytes
    data: memoryview


class Begin(NamedTuple):
    """A file as it was when the sender opened it; said again when it had to start over."""

    number: int
    size: int
    mtime: int
    mode: int


class Data(NamedTuple):
    """One chunk."""

    number: int
    chunk: int
    hash: bytes
    data: memoryview


class Verdicts(NamedTuple):
    """Which files are wanted, which are kept as they are, and which cannot be taken."""

    want: list[int]
    keep: list[int]
    refuse: list[int]


# --- frames to bytes ---------------------------------------------------------------------------------------------


def pack(kind: int, body: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(len(body), kind) + body


def pack_open(request: Open) -> bytes:
    body = {
        "v": VERSION,
        "op": "push" if request.push else "pull",
        "path": request.path,
        "checksum": request.checksum,
        "dry_run": request.dry_run,
        "exclude": list(request.exclude),
    }
    return pack(OPEN, msgpack.packb(body))


def pack_start(start: Start) -> bytes:
    body: dict[str, Any] = {"single": start.single}
    if start.mode is not None:
        body |= {"mode": start.mode, "mtime": nearest_time(start.mtime or 0)}
    return pack(START, msgpack.packb(body))


def pack_whole(number: int, mtime: int, mode: int, digest: bytes, data: bytes) -> bytes:
    head = _WHOLE.pack(number, nearest_time(mtime), mode, digest)
    return _HEADER.pack(len(head) + len(data), WHOLE) + head + data


def pack_begin(begin: Begin) -> bytes:
    return pack(BEGIN, _BEGIN.pack(begin.number, begin.size, nearest_time(begin.mtime), begin.mode))


def pack_data(number: int, chunk: int, digest: bytes, data: bytes) -> bytes:
    return _HEADER.pack(_DATA.size + len(data), DATA) + _DATA.pack(number, chunk, digest) + data


def pack_holes(number: int, chunk: int, count: int) -> bytes:
    return pack(HOLES, _HOLES.pack(number, chunk, count))


def pack_end(number: int, root: bytes) -> bytes:
    return pack(END, _END.pack(number, root))


def pack_pass(number: int) -> bytes:
    return pack(PASS, _NUMBER.pack(number))


def pack_plan(number: int, size: int) -> bytes:
    return pack(PLAN, _PLAN.pack(number, size))


def pack_verdicts(want: Iterable[int], keep: Iterable[int], refuse: Iterable[int]) -> bytes:
    return pack(VERDICTS, msgpack.packb({"want": list(want), "keep": list(keep), "refuse": list(refuse)}))


def pack_have(number: int, hashes: bytes) -> bytes:
    return pack(HAVE, _NUMBER.pack(number) + hashes)


def pack_cancel(number: int) -> bytes:
    return pack(CANCEL, _NUMBER.pack(number))


def pack_problem(error: bool, path: bytes, text: str) -> bytes:
    return pack(PROBLEM, msgpack.packb([error, path[:_PATH_MAX], _words(text)]))


def pack_abort(text: str) -> bytes:
    return pack(ABORT, msgpack.packb(_words(text)))


def _words(text: str) -> str:
    """`text` as it can be sent: file names in it need not be Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()[:_TEXT_MAX]


# --- bytes to frames ---------------------------------------------------------------------------------------------


def _unpack(form: struct.Struct, body: Body) -> tuple[Any, ...]:
    try:
        return form.unpack_from(body)
    except struct.error:
        raise BadFrame("a frame is too short") from None


def _unpack_msgpack(body: Body, kind: type) -> Any:
    try:
        value = msgpack.unpackb(body)
    except ValueError:
        raise BadFrame("a frame is damaged") from None
    if type(value) is not kind:
        raise BadFrame(f"a frame holds a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def parse_open(body: Body) -> Open:
    value = _unpack_msgpack(body, dict)
    version = value.get("v")
    if type(version) is not int:
        raise BadFrame("a request does not say its version")
    if version != VERSION:
        raise BadFrame(f"the peer speaks version {version} of the transfer protocol, this is version {VERSION}")
    operation, path, exclude = value.get("op"), value.get("path"), value.get("exclude", [])
    if operation not in ("push", "pull") or type(path) is not bytes:
        raise BadFrame("a request says neither push nor pull, or not what")
    if type(exclude) is not list or len(exclude) > _EXCLUDE_MAX:
        raise BadFrame(f"at most {_EXCLUDE_MAX} patterns can be left out")
    if any(type(pattern) is not bytes or len(pattern) > _PATTERN_MAX for pattern in exclude):
        raise BadFrame(f"a pattern has at most {_PATTERN_MAX} bytes")
    if sum(map(len, exclude)) > _PATTERNS_MAX:
        raise BadFrame(f"all patterns together have at most {_PATTERNS_MAX} bytes")
    checksum, dry_run = value.get("checksum") is True, value.get("dry_run") is True
    return Open(operation == "push", path, checksum, dry_run, tuple(exclude))


def parse_start(body: Body) -> Start:
    value = _unpack_msgpack(body, dict)
    single = value.get("single")
    if type(single) is not bool:
        raise BadFrame("START does not say what comes")
    if "mode" not in value:
        return Start(single)
    return Start(single, check_mode(value["mode"]), check_time(value.get("mtime")))


def parse_whole(body: Body) -> Whole:
    number, mtime, mode, digest = _unpack(_WHOLE, body)
    return Whole(number, check_time(mtime), check_mode(mode), digest, memoryview(body)[_WHOLE.size :])


def parse_begin(body: Body) -> Begin:
    begin = Begin(*_unpack(_BEGIN, body))
    check_time(begin.mtime)
    if begin.size > SIZE_MAX or begin.mode > MODE_MAX:
        raise BadFrame("BEGIN tells of a file that cannot be")
    return begin


def parse_data(body: Body) -> Data:
    number, chunk, digest = _unpack(_DATA, body)
    return Data(number, chunk, digest, memoryview(body)[_DATA.size :])


def parse_holes(body: Body) -> tuple[int, int, int]:
    """File, first chunk, number of chunks."""
    number, chunk, count = _unpack(_HOLES, body)
    if count > HOLES_MAX:
        raise BadFrame(f"a hole of more than {HOLES_MAX} chunks")
    return number, chunk, count


def parse_end(body: Body) -> tuple[int, bytes]:
    """File, root."""
    number, root = _unpack(_END, body)
    return number, root


def parse_plan(body: Body) -> tuple[int, int]:
    """File, bytes that would have been sent."""
    number, size = _unpack(_PLAN, body)
    return number, size


def parse_number(body: Body) -> int:
    """The file that any of the binary frames is about."""
    (number,) = _unpack(_NUMBER, body)
    return int(number)


def parse_have(body: Body) -> tuple[int, memoryview]:
    """File, hashes."""
    hashes = memoryview(body)[_NUMBER.size :]
    if len(hashes) % HASH_SIZE:
        raise BadFrame("HAVE ends in the middle of a hash")
    return parse_number(body), hashes


def parse_verdicts(body: Body) -> Verdicts:
    value = _unpack_msgpack(body, dict)
    lists = Verdicts(value.get("want", []), value.get("keep", []), value.get("refuse", []))
    if any(type(numbers) is not list or any(type(n) is not int for n in numbers) for numbers in lists):
        raise BadFrame("verdicts are lists of file numbers")
    return lists


def parse_problem(body: Body) -> tuple[bool, bytes, str]:
    """Whether it is an error, path, text."""
    value = _unpack_msgpack(body, list)
    if len(value) < 3 or [type(v) for v in value[:3]] != [bool, bytes, str]:
        raise BadFrame("PROBLEM does not say what it is")
    return value[0], value[1][:_PATH_MAX], value[2][:_TEXT_MAX]


def parse_abort(body: Body) -> str:
    text: str = _unpack_msgpack(body, str)
    return text[:_TEXT_MAX]


# --- the stream --------------------------------------------------------------------------------------------------


class Source(Protocol):
    """What frames are read from; `jsp.Stream` and sockets have it."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int: ...


class FrameReader:
    """Takes frames off a stream."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0

    def read(self) -> tuple[int, Body]:
        """Type and body of the next frame. BadFrame when the stream ends; what the stream raises."""
        while True:
            self._fill(_HEADER.size)
            length, kind = _HEADER.unpack_from(self._buffer, self._start)
            if length > BODY_MAX:
                raise BadFrame(f"a frame of {length} bytes is longer than any can be")
            self._start += _HEADER.size
            body = self._take(length)
            if kind < SKIPPABLE:
                return kind, body

    def has_frame(self) -> bool:
        """Whether `read` would return at once."""
        while self._end - self._start >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._buffer, self._start)
            size = _HEADER.size + length
            if size > self._end - self._start:
                return False
            if kind < SKIPPABLE:
                return True
            self._start += size
        return False

    def _fill(self, size: int) -> None:
        """Have `size` bytes, fewer than the buffer has, from `_start` on."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + size > _BUFFER:
            rest = bytes(self._view[self._start : self._end])
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        while self._end - self._start < size:
            self._end += self._receive(self._view[self._end :])

    def _take(self, length: int) -> Body:
        here = min(length, self._end - self._start)
        if here == length:
            body: Body = bytes(self._view[self._start : self._start + length])
            self._start += length
            return body
        body = bytearray(length)
        body[:here] = self._view[self._start : self._end]
        self._start = self._end = 0
        view = memoryview(body)
        while here < length:
            here += self._receive(view[here:])
        return body

    def _receive(self, view: memoryview) -> int:
        size = self._source.recv_into(view)
        if not size:
            raise BadFrame("the stream ended in the middle of the transfer")
        return size

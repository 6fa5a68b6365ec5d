"""Random mixtures of what is here of a file and how it changes while it is sent: the result is what was sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.transfer.assembly import Assembly
from jsp.transfer.chunks import chunk_size
from tests.profiles import examples
from tests.transfer.ends import nothing_open
from tests.transfer.place import NAME, Place, begin, end, hashes_of, leave_holes, write

SMALL = {"chunks.CHUNK": 8, "chunks.CHUNKS_AIM": 4, "basis.HASHED_MAX": 20, "assembly._COPIED_MAX": 20}
# The same at the beginning, often, and then this and that.
PIECES = st.lists(st.sampled_from([bytes(8), b"A" * 8, b"B" * 8]), max_size=4)
RESTS = st.sampled_from([b"", b"r", bytes(5)])
CONTENTS = st.builds(
    lambda same, pieces, rest: (b"A" * 16 + bytes(16) + b"B" * 8)[: 8 * same] + b"".join(pieces) + rest,
    st.integers(0, 5),
    PIECES,
    RESTS,
)


def speak(assembly: Assembly, content: bytes, have: bytes, pauses: Iterator[bool], chunks: int = 99) -> bytes:
    """Send `content` but for what is known to be there; returns the hashes of the `chunks` that were dealt with."""
    chunk = chunk_size(len(content))
    said = hashes_of(content)[: 32 * chunks]
    for at in range(0, len(said), 32):
        data = content[at // 32 * chunk :][:chunk]
        if have[at : at + 32] == said[at : at + 32]:
            continue
        if any(data):
            write(assembly, at // 32, data)
        else:
            leave_holes(assembly, at // 32, 1)
        if next(pauses):
            assembly.release()
    return said


@examples(50)
@given(
    st.one_of(st.none(), st.tuples(CONTENTS, st.booleans())),
    CONTENTS,
    st.integers(-20, 20),
    st.one_of(st.none(), st.tuples(st.integers(0, 9), CONTENTS)),
    st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_whatever_is_here_and_whatever_changes_the_result_is_what_was_sent(
    here: tuple[bytes, bool] | None,
    content: bytes,
    before: int,
    change: tuple[int, bytes] | None,
    pauses: list[bool],
) -> None:
    rest = (pause for _ in range(100) for pause in pauses)
    with TemporaryDirectory() as folder, nothing_open(), pytest.MonkeyPatch.context() as patch:
        # Small chunks, that double early; and few of them at once.
        for name, value in SMALL.items():
            patch.setattr(f"jsp.transfer.{name}", value)
        place = Place(Path(folder))
        announced = max(0, len(content) + before)
        basis = place.basis(*here, announced) if here is not None else None
        assembly = place.assembly(len(content), basis=basis, announced=announced)
        have = bytes(basis.hashes) if basis and basis.chunk == chunk_size(len(content)) else b""
        said = speak(assembly, content, have, rest, 99 if change is None else change[0])
        if change is not None:
            same = chunk_size(len(content)) == chunk_size(len(change[1]))
            content = change[1]
            assembly.start_over(begin(len(content)))
            speak(assembly, content, said if same else b"", rest)
        end(assembly, content)
        assert place.path.read_bytes() == content
        assert os.listdir(folder) == [os.fsdecode(NAME)]
        place.close()

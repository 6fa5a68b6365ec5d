# cython: language_level=3, annotation_typing=False, nonecheck=True
"""A message as its receiver gets it (spec section 8.4)."""

from __future__ import annotations

from jsp.engine.modes import RELIABLE, Mode

_RELIABLE = RELIABLE


class Message:
    """A message that arrived whole. `bytes(message)` and `len(message)` are those of its data.

    Attributes:
        data: the content.
        mode: how it was sent. A partially reliable one does not tell its limits.
        ordered: whether it keeps its place among the other ordered ones.
    """

    __slots__ = ("data", "mode", "ordered")

    def __init__(self, data: bytes, mode: Mode = _RELIABLE, ordered: bool = False) -> None:
        self.data = data
        self.mode = mode
        self.ordered = ordered

    def __repr__(self) -> str:
        return f"Message(data={self.data!r}, mode={self.mode!r}, ordered={self.ordered!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.data == other.data and self.mode == other.mode and self.ordered == other.ordered

    def __hash__(self) -> int:
        return hash((self.data, self.mode, self.ordered))

    def __bytes__(self) -> bytes:
        return self.data

    def __len__(self) -> int:
        return len(self.data)

"""Bar charts as SVG: one row for each bar, its label to the left, its value behind it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

_WIDTH = 760
_PADDING = 24
_LABEL_WIDTH = 216
_VALUE_WIDTH = 112
_HEAD = 74
_ROW = 32
_BAR = 18
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

_BACKGROUND = "#fbfbfd"
_FRAME = "#dfe2ea"
_TEXT = "#1f2430"
_FAINT = "#697080"
_GRID = "#e9ebf1"
_WHISKER = "#3a4152"

OURS = "ours"
LIMIT = "limit"
OTHER = "other"
_FILL = {OURS: "#2f6fde", LIMIT: "#c9a227", OTHER: "#a9b1c2"}
_GRID_LINES = 4


@dataclass(frozen=True)
class Bar:
    """One row.

    Attributes:
        label: who.
        value: how much; the bar's length.
        text: the value as it is to be read.
        low, high: the least and greatest sample, drawn as a thin line.
        kind: `OURS`, `LIMIT` or `OTHER`: the colour.
    """

    label: str
    value: float
    text: str
    low: float
    high: float
    kind: str = OTHER


def draw(title: str, unit: str, bars: list[Bar]) -> str:
    """A chart of `bars`, top to bottom as given. `unit` says what the values are, and which way is better."""
    left = _PADDING + _LABEL_WIDTH
    room = _WIDTH - left - _VALUE_WIDTH
    most = max((bar.high for bar in bars), default=0.0) or 1.0
    bottom = _HEAD + _ROW * len(bars)
    height = bottom + _PADDING // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="{_FONT}">',
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8" fill="{_BACKGROUND}" '
        f'stroke="{_FRAME}"/>',
        _text(_PADDING, 32, title, 17, _TEXT, weight=600),
        _text(_PADDING, 53, unit, 13, _FAINT),
    ]
    for i in range(_GRID_LINES + 1):
        x = left + room * i / _GRID_LINES
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD - 6}" y2="{bottom}" stroke="{_GRID if i else _FRAME}"/>'
        )
    for i, bar in enumerate(bars):
        parts += _row(bar, left, _HEAD + _ROW * i, room / most)
    return "\n".join([*parts, "</svg>", ""])


def _row(bar: Bar, left: int, top: int, scale: float) -> list[str]:
    middle = top + _ROW / 2
    length = max(bar.value * scale, 1.5)
    low, high = left + bar.low * scale, left + bar.high * scale
    text_y = middle + 4.5
    return [
        _text(left - 10, text_y, bar.label, 13, _TEXT, anchor="end", weight=600 if bar.kind == OURS else 400),
        f'<rect x="{left}" y="{middle - _BAR / 2:.1f}" width="{length:.1f}" height="{_BAR}" rx="2" '
        f'fill="{_FILL[bar.kind]}"/>',
        f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8" '
        f'stroke="{_WHISKER}" fill="none"/>',
        _text(max(left + length, high) + 8, text_y, bar.text, 13, _TEXT),
    ]


def _text(x: float, y: float, text: str, size: int, fill: str, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )

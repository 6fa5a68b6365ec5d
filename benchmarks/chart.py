"""Charts as SVG: bars, one row for each, its label to the left, its value behind it; and points in a plane."""

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
_PLANE = 300
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


@dataclass(frozen=True)
class Point:
    """One mark of a scatter chart. Attributes: label: who; x, y: where; kind: as of a bar."""

    label: str
    x: float
    y: float
    kind: str = OTHER


def draw(title: str, unit: str, bars: list[Bar]) -> str:
    """A chart of `bars`, top to bottom as given. `unit` says what the values are, and which way is better."""
    left = _PADDING + _LABEL_WIDTH
    room = _WIDTH - left - _VALUE_WIDTH
    most = max((bar.high for bar in bars), default=0.0) or 1.0
    bottom = _HEAD + _ROW * len(bars)
    height = bottom + _PADDING // 2
    parts = _opening(title, unit, height)
    for i in range(_GRID_LINES + 1):
        x = left + room * i / _GRID_LINES
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD - 6}" y2="{bottom}" stroke="{_GRID if i else _FRAME}"/>'
        )
    for i, bar in enumerate(bars):
        parts += _row(bar, left, _HEAD + _ROW * i, room / most)
    return "\n".join([*parts, "</svg>", ""])


def scatter(title: str, unit: str, across: str, up: str, points: list[Point]) -> str:
    """A chart of `points`; `across` and `up` name the axes, which begin at 0. `unit` says which way is better."""
    left, right, bottom = _PADDING + 44, _WIDTH - _PADDING - _VALUE_WIDTH, _HEAD + _PLANE
    parts = _opening(title, unit, bottom + 54)
    most_x = max((p.x for p in points), default=0.0) * 1.05 or 1.0
    most_y = max((p.y for p in points), default=0.0) * 1.05 or 1.0
    for i in range(_GRID_LINES + 1):
        x, y = left + (right - left) * i / _GRID_LINES, bottom - _PLANE * i / _GRID_LINES
        line = f'stroke="{_GRID if i else _FRAME}"/>'
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD}" y2="{bottom}" {line}')
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" {line}')
        parts.append(_text(x, bottom + 18, f"{most_x * i / _GRID_LINES:.3g}", 12, _FAINT, anchor="middle"))
        parts.append(_text(left - 8, y + 4, f"{most_y * i / _GRID_LINES:.3g}", 12, _FAINT, anchor="end"))
    parts.append(_text((left + right) / 2, bottom + 40, across, 13, _FAINT, anchor="middle"))
    parts.append(_text(left, _HEAD - 6, up, 13, _FAINT))
    taken: list[float] = []
    for point in sorted(points, key=lambda p: p.y, reverse=True):
        x, y = left + (right - left) * point.x / most_x, bottom - _PLANE * point.y / most_y
        # Labels of points that lie together stand below each other.
        label_y = max([y + 4, *(t + 15 for t in taken if abs(t - y - 4) < 15)])
        taken.append(label_y)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{_FILL[point.kind]}"/>')
        weight = 600 if point.kind == OURS else 400
        parts.append(_text(x + 10, label_y, point.label, 13, _TEXT, weight=weight))
    return "\n".join([*parts, "</svg>", ""])


def _opening(title: str, unit: str, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="{_FONT}">',
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8" fill="{_BACKGROUND}" '
        f'stroke="{_FRAME}"/>',
        _text(_PADDING, 32, title, 17, _TEXT, weight=600),
        _text(_PADDING, 53, unit, 13, _FAINT),
    ]


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

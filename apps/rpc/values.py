"""Arguments and results as text: what people type, what they get to see, what programs read."""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
import sys
from collections.abc import Iterable
from typing import Any

from jsp.errors import escaped

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.S)


def parse_arguments(words: Iterable[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by place and by name out of what was typed; the last of equal names counts."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for word in words:
        match = _NAMED.fullmatch(word)
        if match is not None:
            named[match[1]] = parse_value(match[2])
        else:
            positional.append(parse_value(word))
    return tuple(positional), named


def parse_value(word: str) -> Any:
    """JSON, or the word itself when it is none."""
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def show(value: Any, as_json: bool) -> None:
    """Print a result on stdout."""
    if as_json:
        print(to_json(value))
    elif isinstance(value, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(value)
    elif isinstance(value, str):
        # Others choose the text; a terminal would obey it.
        print(printable(value) if sys.stdout.isatty() else value)
    elif value is not None:
        print(to_json(value))


def to_json(value: Any) -> str:
    """`value` as one line of JSON."""
    return json.dumps(_jsonable(value), ensure_ascii=False, allow_nan=False)


def _jsonable(value: Any) -> Any:
    """What JSON has not, as what it has: bytes as base64, times as ISO 8601, NaN and infinities as text."""
    if isinstance(value, dict):
        return {_key(key): _jsonable(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return base64.b64encode(key).decode()
    return key.isoformat() if isinstance(key, datetime.datetime) else json.dumps(key)


def printable(text: str) -> str:
    """`text` without what would make a terminal do things; lines and tabs are kept."""
    return escaped(text, kept="\n\t")

"""Sending items one by one, as fast as whoever takes them: what a streaming method and a streamed argument share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jsp.net.waiting import Signal
from jsp.rpc.codec import ITEM, Encoder, payload_size
from jsp.rpc.errors import TooLarge
from jsp.rpc.lanes import ITEMS, Lanes
from jsp.rpc.turns import give_way
from jsp.rpc.windows import ITEM_MAX, Credit

# An iterator that never waits gives way to other greenlets after this many items.
_ITEMS_A_TURN = 64


def item_frame(encoder: Encoder, call_id: int, item: Any) -> bytes:
    """The frame of an item. Raises TooLarge or Unserialisable when it cannot be sent."""
    frame = encoder.frame(ITEM, call_id, item)
    size = payload_size(frame)
    if size > ITEM_MAX:
        raise TooLarge(f"{size} bytes are more than a stream takes at once ({ITEM_MAX})")
    return frame


def send_items(
    items: Iterator[Any], encode: Callable[[Any], bytes], credit: Credit, news: Signal, lanes: Lanes
) -> None:
    """Send every item, waiting for credit; `news` is notified when some came. Closes a generator in any case.

    Raises ConnectionClosed, and what `items` and `encode` raise.
    """
    count = 0
    try:
        for item in items:
            frame = encode(item)
            while not credit.take(payload_size(frame)):
                news.wait()
            lanes.send(ITEMS, frame)
            count += 1
            if not count % _ITEMS_A_TURN:
                give_way()
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()

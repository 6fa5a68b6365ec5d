"""What a connection asks of the endpoint it lives in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from jsp.engine.builder import Train
from jsp.engine.flow import Memory
from jsp.recovery.destinations import Destinations
from jsp.wire import frames
from jsp.wire.buffer import PacketBuffer, Reader

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore


class Host(Protocol):
    """What a connection needs of the endpoint it lives in: shared working space, and `owner`, the process that it all
    belongs to. `whole_datagrams`: nobody on the way fragments what we send."""

    owner: int
    train: Train
    reader: Reader
    stream_frame: frames.StreamFrame
    message_frame: frames.MessageFrame
    memory: Memory
    cid_size: int
    whole_datagrams: bool
    destinations: Destinations

    def new_cid(self, connection: ConnectionCore, path_id: int) -> tuple[bytes, bytes]:
        """A fresh connection id routed to `connection`, and its reset token."""

    def drop_cid(self, cid: bytes) -> None: ...

    def watch_reset_tokens(self, connection: ConnectionCore, tokens: frozenset[bytes]) -> None: ...

    def on_address_proven(self, connection: ConnectionCore) -> None: ...

    def on_confirmed(self, connection: ConnectionCore) -> None: ...

    def load(self, data: bytes) -> PacketBuffer:
        """A buffer that holds `data`."""

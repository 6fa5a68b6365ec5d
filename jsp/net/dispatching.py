# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What the engine tells about a connection, as signals for those who wait on it. The other half of `connection`.

Runs in the hub: wakes, never waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsp.engine.events import (
    Closed,
    Connected,
    MessageSettled,
    MessagesReadable,
    MessagesWritable,
    PathEvent,
    PathsAvailable,
    PathSilent,
    PeerPresented,
    PingAnswered,
    StreamOpened,
    StreamsAvailable,
)
from jsp.engine.traffic import Event, StreamReadable, StreamWritable
from jsp.net import moving, pings
from jsp.net.roaming import on_paths_available

if TYPE_CHECKING:
    from jsp.net.connection import Connection


def dispatch(shell: Connection) -> None:
    """Hand out the events there are."""
    core = shell._core
    while (event := core.poll_event()) is not None:
        if isinstance(event, StreamReadable):
            stream = shell._streams.get(event.stream_id)
            if stream is not None:
                shell._endpoint.wake(stream.readable)
        elif isinstance(event, StreamWritable):
            stream = shell._streams.get(event.stream_id)
            if stream is not None:
                shell._endpoint.wake(stream.writable)
        else:
            _dispatch_rare(shell, event)


def _dispatch_rare(shell: Connection, event: Event) -> None:
    if isinstance(event, StreamOpened):
        _on_stream_opened(shell, event.stream_id)
    elif isinstance(event, MessagesReadable):
        if shell.on_messages is not None:
            shell.on_messages(shell)
        elif shell.on_untaken is not None:
            shell.on_untaken(shell)
        shell._endpoint.wake(shell._message_arrived)
    elif isinstance(event, (MessagesWritable, StreamsAvailable)):
        shell._endpoint.wake(shell._room)
    elif isinstance(event, MessageSettled):
        shell._endpoint.wake(event.watcher)
    elif isinstance(event, PathEvent):
        _on_path(shell, event)
    elif isinstance(event, PingAnswered):
        pings.on_answered(shell._hub, shell._pings, event.token, event.rtt)
    elif isinstance(event, PeerPresented):
        if shell.on_presented is not None:
            shell.on_presented(shell, event.presented)
        else:
            shell.accept_peer()
    elif isinstance(event, Connected):
        if shell.on_connected is not None:
            shell.on_connected(shell)
        shell._endpoint.wake(shell._moved)
    elif isinstance(event, Closed):
        _on_closed(shell)


def _on_path(shell: Connection, event: PathEvent) -> None:
    """Paths came or went: whoever opens one looks again, and sockets that no path uses any more are closed."""
    if isinstance(event, PathSilent):
        if shell.on_silent is not None:
            shell.on_silent(shell)
        return
    moving.keep_sockets(shell)
    if isinstance(event, PathsAvailable):
        on_paths_available(shell)
    shell._endpoint.wake(shell._moved)


def _on_stream_opened(shell: Connection, stream_id: int) -> None:
    inner = shell._core.streams.streams.get(stream_id)
    if inner is None:
        return
    stream = shell._streams[stream_id] = shell.make_stream(inner)
    if shell.on_stream is not None:
        shell.on_stream(shell, stream)
    else:
        shell._incoming.append(stream)
        shell._endpoint.wake(shell._stream_arrived)
        if shell.on_untaken is not None:
            shell.on_untaken(shell)


def _on_closed(shell: Connection) -> None:
    signals = [shell._moved, shell._stream_arrived, shell._message_arrived, shell._room]
    for stream in shell._streams.values():
        signals += [stream.readable, stream.writable]
    for message in (shell._core.send_messages.watched or {}).values():
        signals.append(message.watcher)
    for signal in signals:
        shell._endpoint.wake(signal)
    pings.give_up(shell._hub, shell._pings, shell.closed_error())
    if shell.on_closed is not None:
        shell.on_closed(shell)

# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Paths that come and go (spec section 4.8): migration, several paths at once, and what becomes of the old one.

Either side opens paths, each under ids of its own parity: clients 2, 4, 6 and so on, servers 1, 3, 5. The ids by which
the next one is reached are given out in advance, so that a path can be opened when no other one works any more.
Migration is: open a path, and when it is validated abandon the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsp.engine.events import PathChanged, PathGone, PathOpened, PathsAvailable, PathSilent
from jsp.engine.path import Path
from jsp.errors import Code, ProtocolViolation
from jsp.wire.frames import push_new_cid
from jsp.wire.path_frames import (
    PATH_ABANDON,
    PATH_STATUS,
    parse_path_abandon,
    parse_path_status,
    push_path_abandon,
    push_path_status,
)

if TYPE_CHECKING:
    from jsp.engine.builder import Kept, Train
    from jsp.engine.connection import ConnectionCore
    from jsp.engine.traffic import Endpoint, Received
    from jsp.wire.buffer import Reader

_OFFER, _ABANDON, _STATUS = range(3)
# Probe timeouts in a row after which the owner may look for another way.
_SILENT_AFTER = 2
# What a new path costs its opener of the budget for control frames.
_OPENING_COST = 16


class Mobility:
    """Attributes:
    limit: how many paths there may be at a time.
    due: whether there are frames to send.
    wanted: whether the owner waits for ids, to open a path.
    preferred: where the peer, a server, would rather be reached (spec section 4.8); empty: where it is.
    copies: packets that shall go by further paths (`redundancy`).
    copies_asked: whether there was ever a message that was to go by all paths.
    lull_seen: bytes received when a pause was noticed last (`deadlines`).
    lull_wait: seconds until the next question of who waits for credit.
    """

    __slots__ = (
        "_ahead", "_offer", "_offered", "_ours", "_owed", "_sequence", "_shelved", "_theirs", "copies", "copies_asked",
        "due", "limit", "lull_seen", "lull_wait", "preferred", "wanted",
    )  # fmt: skip

    def __init__(self, server: bool, limit: int, preferred: bytes) -> None:
        self.limit = limit
        self.preferred = preferred
        self.due = self.wanted = self.copies_asked = False
        self.lull_seen = 0
        self.lull_wait = 0.0
        self.copies: list[tuple[Path, Kept]] = []
        self._ours, self._theirs = (1, 2) if server else (2, 1)
        # Our id, and its reset token, for the path that the peer may open next; the peer's for ours; and for its own,
        # when it comes by another path and first.
        self._offer: tuple[bytes, bytes] | None = None
        self._offered: tuple[bytes, bytes] | None = None
        self._ahead: tuple[bytes, bytes] | None = None
        # A path of ours that was never answered.
        self._shelved: Path | None = None
        self._owed: list[tuple[int, int, Any]] = []
        self._sequence = 0

    # --- ids in advance ------------------------------------------------------------------------------------

    def offer(self, conn: ConnectionCore) -> None:
        """Let the peer open one more path, when there is room for it: it may find that out when nothing reaches it."""
        if self._offer is None and self.limit > 1 and len(conn.paths) < 2 * self.limit:
            self._offer = conn.new_cid(self._theirs)
            self._owe(_OFFER, self._theirs, None)

    def on_new_cid(self, conn: ConnectionCore, path_id: int, sequence: int, cid: bytes, token: bytes) -> None:
        """NEW_CID of a path that is not there: the next of ours, the next of the peer's, or one that is gone."""
        if path_id not in (self._ours, self._theirs) or sequence:
            return
        known = self._offered if path_id == self._ours else self._ahead
        if known is not None and known[0] != cid:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "one sequence number for two connection ids")
        if path_id == self._ours:
            self._offered = (cid, token)
            if self.wanted:
                self.wanted = False
                conn.events.append(PathsAvailable())
        else:
            self._ahead = (cid, token)

    def can_open(self, conn: ConnectionCore, replaces: bool) -> bool:
        """Whether the peer has given us what a further path needs, and there may be one.

        The last place is for one that `replaces` the others: with all places taken nobody could leave dead paths.
        """
        if replaces and (self._pending(conn) is not None or _is_silent(conn)):
            return True
        return self._has_ids() and not self.is_full(conn, replaces)

    def _has_ids(self) -> bool:
        return self._offered is not None or self._shelved is not None

    def is_full(self, conn: ConnectionCore, replaces: bool) -> bool:
        """Whether no more is possible before a path goes."""
        return _count(conn) >= self.limit - (not replaces)

    def _pending(self, conn: ConnectionCore) -> Path | None:
        """A path that shall replace the others and was not answered yet."""
        for path in conn.paths.values():
            if path.replaces and not path.closing:
                return path
        return None

    # --- coming --------------------------------------------------------------------------------------------

    def open(
        self, conn: ConnectionCore, remote: Endpoint, local: Endpoint | None, replaces: bool, now: float
    ) -> Path | None:
        """Open a path to `remote` from `local`; None when there may be none now.

        `replaces`: when it is validated, the other paths are abandoned. One that was to do so and was not answered yet
        starts anew from there: ids for a further one might not come before it is. So does the one in use when nothing
        answers and ids for another were lost with it; to the peer that is a rebinding.
        """
        if not self.can_open(conn, replaces):
            return None
        path = self._pending(conn) if replaces else None
        if path is None and (not self._has_ids() or self.is_full(conn, replaces)):
            path = conn.path
            path.remote_cids.rotate()  # for whoever watches both networks
        if path is None:
            path, self._shelved = self._shelved, None
        if path is None:
            path = self._make(conn, remote, local)
        path.reopen(remote, local)
        path.recall(conn.host.destinations, "", now)
        path.replaces = replaces
        path.challenge(conn.entropy(8))
        self._add(conn, path)
        return path

    def _make(self, conn: ConnectionCore, remote: Endpoint, local: Endpoint | None) -> Path:
        assert self._offered is not None
        cid, token = self._offered
        path = conn.make_path(self._ours, remote, local, b"", cid)
        path.remote_cids.reset_tokens = frozenset((token,))
        path.local_cids.issue(1)
        self._offered = None
        self._ours += 2
        return path

    def arriving(self, conn: ConnectionCore, path_id: int, received: Received) -> Path | None:
        """The path of a packet that came by the id for the next one of the peer's, should the packet be authentic."""
        if self._offer is None or path_id != self._theirs:
            return None
        path = conn.make_path(path_id, received.remote, received.local, self._offer[0], b"")
        if self._ahead is not None:
            path.remote_cids.add(0, 0, *self._ahead)
        conn.paths[path_id] = path
        return path

    def arrived(self, conn: ConnectionCore, path: Path) -> None:
        """An authentic packet came on `path`, which is the peer's and new."""
        self._offer = self._ahead = None
        self._theirs += 2
        path.challenge(conn.entropy(8))
        self._add(conn, path)
        self.offer(conn)
        conn.spend_control(_OPENING_COST)
        conn.events.append(PathOpened(path.id))

    def _add(self, conn: ConnectionCore, path: Path) -> None:
        conn.paths[path.id] = path
        conn.alone = False
        conn.recv_messages.several = True
        conn.refresh_reset_tokens()

    # --- being there ---------------------------------------------------------------------------------------

    def validated(self, conn: ConnectionCore, path: Path, now: float) -> None:
        """The peer answered on `path`."""
        path.was_validated = True
        conn.events.append(PathChanged(path.id, path.remote))
        path.local_cids.issue(conn.peer_cid_limit)
        for other in conn.paths.values():
            if other.recovery.pto_count:
                other.recovery.offer_all()
        if path.replaces:
            path.replaces = False
            for other in list(conn.paths.values()):
                if other is not path:
                    self.abandon(conn, other, Code.NO_ERROR, now)
        elect(conn)

    def set_status(self, conn: ConnectionCore, path: Path, backup: bool) -> None:
        """Use `path`, and have it used, only when no other one works; or like any other."""
        path.backup = backup
        self._sequence += 1
        self._owe(_STATUS, path.id, (self._sequence, backup))
        elect(conn)

    def on_status(self, conn: ConnectionCore, path: Path, sequence: int, backup: bool) -> None:
        """PATH_STATUS arrived; nothing if a later one has."""
        if sequence > path.status_seen:
            path.status_seen = sequence
            path.peer_backup = backup
            elect(conn)

    def can_leave(self, conn: ConnectionCore, path: Path) -> bool:
        """Whether another path answers, or none does."""
        others = [other for other in conn.paths.values() if other is not path and other.validated]
        return bool(others) and (path.recovery.pto_count > 0 or not all(other.recovery.pto_count for other in others))

    def on_silence(self, conn: ConnectionCore, path: Path) -> None:
        """A probe timeout passed on `path`: where another one answers, what is under way goes there."""
        answering = candidates(conn)
        if path not in answering:
            path.recovery.offer_all()
            elect(conn)
        elif path.recovery.pto_count >= _SILENT_AFTER:
            conn.events.append(PathSilent())

    def on_lost_address(self, conn: ConnectionCore, path: Path) -> None:
        """Our own address on `path` is gone: it is silent from now on, without waiting for a probe timeout."""
        if not path.recovery.pto_count:
            path.recovery.pto_count = 1
            self.on_silence(conn, path)

    # --- going ---------------------------------------------------------------------------------------------

    def abandon(self, conn: ConnectionCore, path: Path, code: int, now: float) -> bool:
        """Leave `path`, if there is another one (what it returns); what was under way on it is sent again elsewhere."""
        if path.closing or _count(conn) == 1:
            return path.closing
        if path.opened and path.space.acks.largest < 0:
            self._shelve(conn, path)
            return True
        path.learn(conn.host.destinations, now)
        path.close(now + 3 * conn.probe_timeout())
        self._owed = [owed for owed in self._owed if owed[:2] != (_STATUS, path.id)]
        conn.refresh_reset_tokens()
        self._owe(_ABANDON, path.id, code)
        self.offer(conn)
        elect(conn)
        return True

    def on_failed(self, conn: ConnectionCore, path: Path, now: float) -> bool:
        """Nobody answers at `path`'s address; whether the connection goes on."""
        if _count(conn) == 1:
            # Where we looked for a silent peer, and one that was opened after path 0, may come back: what silence means
            # then, the idle timeout decides.
            return path.opened or (path.id > 0 and not path.was_validated)
        if path.space.acks.largest >= 0:
            if path.opened or path.was_validated:
                self.abandon(conn, path, Code.NO_VIABLE_PATH, now)
            else:
                # It is the peer's, who may try it again from elsewhere.
                path.recovery.give_up()
            return True
        self._shelve(conn, path)
        return True

    def _shelve(self, conn: ConnectionCore, path: Path) -> None:
        """The peer may never have heard of `path`, which is ours: it is kept for the next try, for it has the ids."""
        path.recovery.give_up()
        path.challenges.clear()
        path.replaces = False
        del conn.paths[path.id]
        if self._shelved is not None:
            self._shelved.local_cids.close()
        self._shelved = path
        conn.refresh_reset_tokens()
        conn.events.append(PathGone(path.id))
        elect(conn)

    def skip(self, conn: ConnectionCore, path_id: int) -> None:
        """The peer abandoned a path that it had opened, and of which nothing has come here."""
        if path_id == self._theirs and self._offer is not None:
            conn.host.drop_cid(self._offer[0])
            self._offer = self._ahead = None
            self._theirs += 2
            self._owe(_ABANDON, path_id, Code.NO_ERROR)
            self.offer(conn)

    def remove(self, conn: ConnectionCore, path: Path, now: float) -> None:
        """Late packets of an abandoned path have had their time; if the peer has left it, too, it is forgotten."""
        if not path.left:
            # What still came by its ids would be answered by a stateless reset, and end the connection.
            path.due = now + 3 * conn.probe_timeout()
            return
        del conn.paths[path.id]
        path.local_cids.close()
        self.offer(conn)
        conn.events.append(PathGone(path.id))

    def close(self, conn: ConnectionCore) -> None:
        """The connection is over."""
        if self._offer is not None:
            conn.host.drop_cid(self._offer[0])
            self._offer = None
        if self._shelved is not None:
            self._shelved.local_cids.close()
            self._shelved = None

    # --- frames --------------------------------------------------------------------------------------------

    def _owe(self, kind: int, path_id: int, value: Any) -> None:
        self._owed.append((kind, path_id, value))
        self.due = True

    def write_frames(self, train: Train) -> bool:
        """Write what is due; False when the packet is full."""
        while self._owed:
            kind, path_id, value = self._owed[0]
            if not self._write(train, kind, path_id, value):
                return False
            del self._owed[0]
        self.due = False
        return True

    def _write(self, train: Train, kind: int, path_id: int, value: Any) -> bool:
        if kind == _OFFER:
            if self._offer is None or path_id != self._theirs:
                return True
            written = push_new_cid(train, path_id, 0, 0, *self._offer)
        elif kind == _ABANDON:
            written = push_path_abandon(train, path_id, value)
        else:
            written = push_path_status(train, path_id, *value)
        if written:
            train.note(self, kind, (path_id, value))
        return written

    def on_acked(self, kind: int, what: tuple[int, Any]) -> None:
        """The frame arrived."""

    def on_lost(self, kind: int, what: tuple[int, Any]) -> None:
        path_id, value = what
        if (kind, path_id, value) not in self._owed:
            self._owe(kind, path_id, value)


def on_path_frame(conn: ConnectionCore, reader: Reader, kind: int, now: float) -> None:
    """PATH_STATUS or PATH_ABANDON; nothing when the path is gone."""
    backup = False
    if kind == PATH_STATUS:
        path_id, value, backup = parse_path_status(reader)
    else:
        path_id, value = parse_path_abandon(reader)
    path = conn.paths.get(path_id)
    mobility = conn.mobility
    if mobility is None:
        return
    if path is None:
        if kind == PATH_ABANDON:
            mobility.skip(conn, path_id)
        return
    if kind == PATH_STATUS:
        mobility.on_status(conn, path, value, backup)
    else:
        mobility.abandon(conn, path, value, now)
        path.left = True


def _is_silent(conn: ConnectionCore) -> bool:
    """Whether no path answers any more. While the handshake is not confirmed all of it goes by path 0."""
    return conn.confirmed and all(path.recovery.pto_count or path.closing for path in conn.paths.values())


def _count(conn: ConnectionCore) -> int:
    """Paths that are not on their way out."""
    return sum(not path.closing for path in conn.paths.values())


def usable(conn: ConnectionCore) -> list[Path]:
    """The paths that packets can go by: not abandoned, and the peer has told an id for them."""
    return [path for path in conn.paths.values() if not path.closing and path.remote_cids.current]


def candidates(conn: ConnectionCore) -> list[Path]:
    """The paths that data may go by now, those that are best of their kind: validated, wanted, and answering."""
    live = usable(conn)
    found = [path for path in live if path.validated] or live
    found = [path for path in found if not (path.backup or path.peer_backup)] or found
    answering = [path for path in found if not path.recovery.pto_count]
    if not answering:
        # Better one for need than one that is silent; and better one that we opened to a peer who was there than none.
        answering = [path for path in live if path.validated and not path.recovery.pto_count]
    return answering or found + [path for path in live if path.opened and path not in found]


def elect(conn: ConnectionCore) -> None:
    """The path that the connection's own timers and statistics go by: the quickest of those that are in use."""
    best = min(candidates(conn), key=lambda path: path.recovery.rtt.smoothed, default=conn.path)
    if best is not conn.path:
        conn.path = best
        if conn.send_messages.repair is not None:
            conn.send_messages.repair.path = best

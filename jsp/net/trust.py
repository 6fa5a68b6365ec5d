"""Who is welcome: trust policies and the files they are kept in (spec section 5.11).

A policy judges a peer that has already proven its identity. Policies that read files are asked in a thread of the
hub's pool, so a slow disk stops nobody. Both files hold one peer id a line with options after it:

    known_peers       jsp1... at=host:port kem=x25519mlkem768
    authorized        jsp1... comment=laptop not-after=2027-01-31 revoked
"""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jsp.crypto.credentials import Presented
from jsp.crypto.identity import PeerId
from jsp.errors import AddressError, Code, LocalError, ProtocolViolation

_FILE_MAX = 16 << 20
# Key exchanges by strength: a peer that once did better is not believed when it does worse (spec section 5.11).
_KEM_RANK = ("", "x25519", "x25519mlkem512", "x25519mlkem768", "x25519mlkem1024")


def _refuse(text: str) -> ProtocolViolation:
    return ProtocolViolation(Code.UNKNOWN_PEER, text)


@dataclass(frozen=True, slots=True)
class Trust:
    """A policy. Use the makers: `pinned`, `known_peers`, `authorized`, `access_key`, `anyone`.

    Attributes:
        name: what the policy is, for people.
        judge: gets what the peer proved and where it is; raises ProtocolViolation when it is not welcome.
        needs_identity: clients without an identity are refused in the handshake already.
        key: the access key that clients must prove, or None.
        slow: whether `judge` touches files.
    """

    name: str
    judge: Callable[[Presented, str], None]
    needs_identity: bool = True
    key: bytes | None = None
    slow: bool = False

    makers: ClassVar[tuple[str, ...]] = ("pinned", "known_peers", "authorized", "access_key", "anyone")

    @classmethod
    def pinned(cls, *peers: PeerId | str) -> Trust:
        """Only these peers."""
        allowed = frozenset(p if isinstance(p, PeerId) else PeerId.parse(p) for p in peers)
        if not allowed:
            raise LocalError("Trust.pinned: name at least one peer id")

        def judge(presented: Presented, where: str) -> None:
            if presented.peer_id not in allowed:
                wanted = ", ".join(sorted(str(p) for p in allowed))
                raise _refuse(f"the peer is {presented.peer_id}, not {wanted}")

        return cls("pinned", judge)

    @classmethod
    def known_peers(cls, path: str | os.PathLike[str]) -> Trust:
        """Trust on first use: the identity first met at an address is the only one accepted there afterwards."""
        file = KnownPeers(Path(path))
        return cls("known_peers", file.judge, slow=True)

    @classmethod
    def authorized(cls, path: str | os.PathLike[str]) -> Trust:
        """The peers listed in a file, which is read again whenever it changes."""
        file = AuthorizedPeers(Path(path))
        file.read()
        return cls("authorized", file.judge, slow=True)

    @classmethod
    def access_key(cls, key: bytes) -> Trust:
        """Server side: whoever proves that it holds `key` (16 bytes), with or without an identity."""
        if len(key) != 16:
            raise LocalError("Trust.access_key: 16 random bytes")

        def judge(presented: Presented, where: str) -> None:
            if not presented.access_proven:
                raise ProtocolViolation(Code.ACCESS_DENIED, "an access key is required")

        return cls("access key", judge, needs_identity=False, key=key)

    @classmethod
    def anyone(cls) -> Trust:
        """Everybody. For a client this gives up knowing who answers."""
        return cls("anyone", lambda presented, where: None, needs_identity=False)


# --- files -------------------------------------------------------------------------------------------------------


def _parse_line(line: str, path: Path, number: int) -> tuple[PeerId, dict[str, str]]:
    words = line.split()
    try:
        peer = PeerId.parse(words[0])
    except AddressError as error:
        raise LocalError(f"{path}:{number}: {error}") from None
    options: dict[str, str] = {}
    for word in words[1:]:
        name, _, value = word.partition("=")
        options[name] = value
    return peer, options


def _read_lines(path: Path) -> list[tuple[int, str]]:
    data = path.read_bytes()[:_FILE_MAX].decode("utf-8", "replace")
    lines = ((number, line.strip()) for number, line in enumerate(data.splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


class AuthorizedPeers:
    """A file of peers that may connect."""

    _OPTIONS = ("comment", "not-after", "revoked")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._peers: dict[PeerId, dict[str, str]] = {}

    def read(self) -> None:
        """Read the file if it changed; LocalError names the line that is wrong."""
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            lines = _read_lines(self.path)
        except OSError as error:
            raise LocalError(f"cannot read {self.path}: {error.strerror}") from None
        peers: dict[PeerId, dict[str, str]] = {}
        for number, line in lines:
            peer, options = _parse_line(line, self.path, number)
            unknown = set(options) - set(self._OPTIONS)
            if unknown:
                # An option that is passed over could be a restriction that is not kept.
                raise LocalError(f"{self.path}:{number}: unknown option {sorted(unknown)[0]!r}")
            if "not-after" in options:
                _parse_date(options["not-after"], self.path, number)
            peers[peer] = options
        self._peers = peers
        self._seen = seen

    def judge(self, presented: Presented, where: str) -> None:
        self.read()
        options = self._peers.get(presented.peer_id) if presented.peer_id is not None else None
        if options is None:
            raise _refuse(f"{presented.peer_id} is not in {self.path.name}")
        if "revoked" in options:
            raise _refuse(f"{presented.peer_id} is revoked")
        limit = options.get("not-after")
        if limit is not None and datetime.datetime.now(datetime.UTC).date() > _parse_date(limit, self.path, 0):
            raise _refuse(f"{presented.peer_id} was authorized until {limit}")


def _parse_date(text: str, path: Path, number: int) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise LocalError(f"{path}:{number}: not-after wants a date like 2027-01-31, not {text!r}") from None


class KnownPeers:
    """A file of peers met before, by the address they were met at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def judge(self, presented: Presented, where: str) -> None:
        assert presented.peer_id is not None
        known = self._find(where)
        if known is None:
            self._add(presented, where)
            return
        peer, options = known
        if peer != presented.peer_id:
            raise _refuse(
                f"the peer at {where} has another identity than before: it was {peer}, it is "
                f"{presented.peer_id}. If that is right, remove its line from {self.path}"
            )
        before = options.get("kem", "")
        if _rank(presented.group) < _rank(before):
            raise ProtocolViolation(
                Code.DOWNGRADE, f"the peer at {where} offered {before} before and only {presented.group} now"
            )

    def _find(self, where: str) -> tuple[PeerId, dict[str, str]] | None:
        try:
            lines = _read_lines(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LocalError(f"cannot read {self.path}: {error.strerror}") from None
        for number, line in lines:
            peer, options = _parse_line(line, self.path, number)
            if options.get("at") == where:
                return peer, options
        return None

    def _add(self, presented: Presented, where: str) -> None:
        line = f"{presented.peer_id} at={where} kem={presented.group}\n"
        with _locked(self.path):
            # Somebody else may have met the peer at this address meanwhile.
            if self._find(where) is not None:
                self.judge(presented, where)
                return
            old = self.path.read_bytes() if self.path.exists() else b""
            if old and not old.endswith(b"\n"):
                old += b"\n"
            _replace(self.path, old + line.encode())


def _rank(group: str) -> int:
    return _KEM_RANK.index(group) if group in _KEM_RANK else 0


@contextmanager
def _locked(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path.with_name(path.name + ".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, mode 0600."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise

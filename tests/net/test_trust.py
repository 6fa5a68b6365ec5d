"""Trust policies and their files."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

import jsp
from jsp.crypto.credentials import Presented
from jsp.errors import Code, ProtocolViolation
from jsp.net.trust import Trust
from tests.net.support import IDENTITY, OTHER, serving, until

ME, YOU = IDENTITY.peer_id, OTHER.peer_id


def presented(peer: jsp.PeerId | None, group: str = "x25519mlkem768", proven: bool = False) -> Presented:
    return Presented(peer, group, "ed25519" if peer else "", proven)


def code_of(trust: Trust, who: Presented, where: str = "host:1") -> int | None:
    try:
        trust.judge(who, where)
    except ProtocolViolation as error:
        return error.code
    return None


def test_pinned_names_both_when_they_differ() -> None:
    trust = Trust.pinned(ME)
    assert code_of(trust, presented(ME)) is None
    with pytest.raises(ProtocolViolation, match=str(YOU)):
        trust.judge(presented(YOU), "host:1")
    with pytest.raises(jsp.LocalError):
        Trust.pinned()
    with pytest.raises(jsp.AddressError):
        Trust.pinned("jsp1nonsense")


def test_known_peers_learns_once_and_then_holds(tmp_path: Path) -> None:
    path = tmp_path / "dir" / "known_peers"
    trust = Trust.known_peers(path)
    assert code_of(trust, presented(ME)) is None
    assert path.read_text() == f"{ME} at=host:1 kem=x25519mlkem768\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert code_of(trust, presented(ME)) is None
    before = path.read_bytes()
    with pytest.raises(ProtocolViolation) as caught:
        trust.judge(presented(YOU), "host:1")
    assert str(ME) in str(caught.value)
    assert str(YOU) in str(caught.value)
    assert path.read_bytes() == before
    assert code_of(trust, presented(YOU), "host:2") is None
    assert len(path.read_text().splitlines()) == 2


def test_known_peers_refuses_a_weaker_key_exchange_later(tmp_path: Path) -> None:
    trust = Trust.known_peers(tmp_path / "known_peers")
    assert code_of(trust, presented(ME, "x25519mlkem768")) is None
    assert code_of(trust, presented(ME, "x25519")) == Code.DOWNGRADE
    assert code_of(trust, presented(ME, "x25519mlkem1024")) is None


def test_known_peers_keeps_lines_it_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "known_peers"
    path.write_text(f"# mine\n{YOU} at=elsewhere:9 kem=x25519 note=x")
    assert code_of(Trust.known_peers(path), presented(ME)) is None
    assert path.read_text().splitlines()[:2] == ["# mine", f"{YOU} at=elsewhere:9 kem=x25519 note=x"]


def test_authorized_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "authorized"
    path.write_text(f"# people\n{ME} comment=laptop\n")
    trust = Trust.authorized(path)
    assert code_of(trust, presented(ME)) is None
    assert code_of(trust, presented(YOU)) == Code.UNKNOWN_PEER
    assert code_of(trust, presented(None)) == Code.UNKNOWN_PEER
    path.write_text(f"{YOU}\n{ME} revoked\n")
    assert code_of(trust, presented(YOU)) is None
    assert code_of(trust, presented(ME)) == Code.UNKNOWN_PEER


def test_authorized_until_a_date(tmp_path: Path) -> None:
    path = tmp_path / "authorized"
    today = datetime.datetime.now(datetime.UTC).date()
    day = datetime.timedelta(days=1)
    path.write_text(f"{ME} not-after={today + day}\n{YOU} not-after={today - day}\n")
    trust = Trust.authorized(path)
    assert code_of(trust, presented(ME)) is None
    assert code_of(trust, presented(YOU)) == Code.UNKNOWN_PEER


@pytest.mark.parametrize("line", ["jsp1broken", f"{ME} unknown-option", f"{ME} not-after=soon"])
def test_authorized_names_the_line_that_is_wrong(tmp_path: Path, line: str) -> None:
    path = tmp_path / "authorized"
    path.write_text(f"# fine\n{line}\n")
    with pytest.raises(jsp.LocalError, match=r"authorized:2"):
        Trust.authorized(path)


def test_authorized_file_that_vanishes_lets_nobody_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(jsp.LocalError, match="cannot read"):
        Trust.authorized(tmp_path / "missing")
    path = tmp_path / "authorized"
    path.write_text(f"{YOU}\n")
    with serving(trust=Trust.authorized(path)) as server:
        jsp.connect(server.url, identity=OTHER).close()
        path.unlink()
        with pytest.raises(jsp.AccessDenied):
            jsp.connect(server.url, identity=OTHER)
    assert "cannot read" in caplog.text


def test_known_peers_over_a_real_connection(tmp_path: Path) -> None:
    trust = Trust.known_peers(tmp_path / "known_peers")
    with serving() as server:
        where = ("127.0.0.1", server.address[1])
        jsp.connect(where, trust=trust).close()
        jsp.connect(where, trust=trust).close()
        port = server.address[1]
        until(lambda: not server.connections())
    other = jsp.Server(("127.0.0.1", port), jsp.Handler, identity=OTHER)
    other.start()
    try:
        with pytest.raises(jsp.UnknownPeer, match="another identity than before"):
            jsp.connect(("127.0.0.1", port), trust=trust)
    finally:
        other.stop()


def test_access_key_policy() -> None:
    trust = Trust.access_key(bytes(range(16)))
    assert code_of(trust, presented(None, proven=True)) is None
    assert code_of(trust, presented(ME)) == Code.ACCESS_DENIED
    with pytest.raises(jsp.LocalError):
        Trust.access_key(b"short")


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("mistake", [KeyError("peer"), ProtocolViolation(0x99, "no"), ProtocolViolation(-1, "no")])
def test_policy_that_fails_lets_nobody_in_and_the_next_one_is_judged(mistake: Exception, slow: bool) -> None:
    mistakes = [mistake]

    def judge(presented: Presented, where: str) -> None:
        if mistakes:
            raise mistakes.pop()

    with serving(trust=Trust("mine", judge, slow=slow)) as server:
        with pytest.raises(jsp.AccessDenied):
            jsp.connect(server.url, identity=OTHER, timeout=5)
        with jsp.connect(server.url, identity=OTHER, timeout=5) as conn:
            assert conn.ping() > 0

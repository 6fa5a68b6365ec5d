"""Connections follow their machine. What the system says is made up here; tests/netlab has real interfaces."""

from __future__ import annotations

import pytest

import jsp
from jsp.net import interfaces, roaming
from tests.net.support import Echo, leftovers, serving, until
from tests.net.test_moving import ask, url


@pytest.fixture(autouse=True)
def _nothing_is_left():  # type: ignore[no-untyped-def]
    before = leftovers()
    yield
    until(lambda: leftovers() <= before)


def ring() -> None:
    """As if the kernel had told of a change."""
    for bell in list(interfaces._bells.values()):
        bell._call(list(bell._watches))


def told(monkeypatch: pytest.MonkeyPatch, here: list[str], way: str) -> None:
    """The system has the addresses `here` from now on, and packets leave from `way`."""
    monkeypatch.setattr(roaming, "addresses", lambda loopback=False: dict.fromkeys(here, 1))
    monkeypatch.setattr(roaming, "outward_host", lambda family, remote: way)
    ring()


def test_another_route_moves_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        ask(conn)
        told(monkeypatch, ["127.0.0.1", "127.0.0.2"], "127.0.0.2")
        until(lambda: conn.local_address[0] == "127.0.0.2" and len(conn.paths) == 1)
        ask(conn)
        # Nothing new: it stays.
        port = conn.local_address
        ring()
        ask(conn)
        assert conn.local_address == port
        # And on to where the address is gone.
        told(monkeypatch, ["127.0.0.3"], "127.0.0.3")
        until(lambda: conn.local_address[0] == "127.0.0.3" and len(conn.paths) == 1)
        ask(conn)


def test_where_the_system_tells_nothing_routes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        told(monkeypatch, [], "127.0.0.4")
        until(lambda: conn.local_address[0] == "127.0.0.4")
        ask(conn)


def test_an_address_that_was_given_is_left_only_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echo) as server, jsp.connect(server.url, bind=("127.0.0.2", 0)) as conn:
        told(monkeypatch, ["127.0.0.2", "127.0.0.3"], "127.0.0.3")
        ask(conn)
        assert conn.local_address[0] == "127.0.0.2" and len(conn.paths) == 1
        told(monkeypatch, ["127.0.0.3"], "127.0.0.3")
        until(lambda: conn.local_address[0] == "127.0.0.3")
        conn.migrate("127.0.0.5")
        told(monkeypatch, ["127.0.0.5", "127.0.0.3"], "127.0.0.3")
        ask(conn)
        assert conn.local_address[0] == "127.0.0.5"


def test_of_several_paths_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        conn.add_path("127.0.0.2")
        told(monkeypatch, ["127.0.0.2"], "127.0.0.3")
        ask(conn)
        assert [path.id for path in conn.paths] == [0, 2]


def test_without_a_way_nothing_happens_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        conn.remotes = ()
        core = conn.core
        monkeypatch.setattr(roaming, "_is_loopback", lambda host: host == "127.0.0.1")
        told(monkeypatch, ["127.0.0.9"], "127.0.0.1")
        core.path.remote = server.address
        assert len(conn.paths) == 1
        ask(conn)


def test_no_migration_when_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echo) as server, jsp.connect(server.url, config=jsp.Config(migrate=False)) as conn:
        told(monkeypatch, ["127.0.0.2"], "127.0.0.2")
        ask(conn)
        assert conn.local_address[0] == "127.0.0.1"


def test_a_server_leaves_an_address_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    stays = jsp.Config(migrate=False)
    with serving(Echo, host="0.0.0.0") as server, jsp.connect(url(server), config=stays) as conn:
        ask(conn)
        told(monkeypatch, ["127.0.0.7"], "127.0.0.7")
        until(lambda: conn.remote_address[0] == "127.0.0.7" and len(conn.paths) == 1)
        ask(conn)


def test_a_silent_path_is_tried_again_from_a_fresh_port() -> None:
    with serving(Echo) as server, jsp.connect(server.url, config=jsp.Config(close_timeout=0.2)) as conn:
        ask(conn)
        before = conn.local_address
        # What is between forgets the client: the answers to its port do not come through any more.
        conn._endpoint._reader.stop()
        conn.send(b"who hears me?")
        assert conn.recv(timeout=5).data == b"who hears me?"
        assert conn.local_address != before

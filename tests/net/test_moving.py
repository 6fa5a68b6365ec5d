"""Paths by hand, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

import jsp
from jsp.engine.traffic import Transmit
from jsp.net import moving
from jsp.net.udp import AF_INET, UdpSocket
from tests.net.support import Echo, ask, leftovers, serving, until


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = leftovers()
    yield
    until(lambda: leftovers() <= before)


def url(server: jsp.Server) -> str:
    """Of a server on all addresses, the one on loopback."""
    return server.url.replace(server.url.rpartition("@")[2].rpartition(":")[0], "127.0.0.1")


def test_migration_to_another_address() -> None:
    with serving(Echo, host="0.0.0.0") as server, jsp.connect(url(server)) as conn:
        ask(conn)
        before = conn.local_address
        path = conn.migrate("127.0.0.2", timeout=5)
        assert path.state == "validated" and path.local[0] == "127.0.0.2" and path.local != before
        ask(conn)
        until(lambda: [p.id for p in conn.paths] == [path.id])
        assert conn.local_address == path.local
        # Again, and back.
        conn.migrate("127.0.0.1", timeout=5)
        ask(conn)


def test_migration_without_an_address_takes_a_fresh_port() -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        before = conn.local_address
        assert conn.migrate().local not in (before, None)
        ask(conn)


def test_transfer_goes_on_through_many_migrations() -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        moving = gevent.spawn(lambda: [conn.migrate(f"127.0.0.{2 + i}") for i in range(10)])
        ask(conn, 20_000_000)
        moving.get(timeout=20)
        ask(conn)
        until(lambda: len(conn.paths) == 1)


def test_two_paths_and_the_end_of_one() -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        path = conn.add_path("127.0.0.2", backup=True)
        assert path.backup and len(conn.paths) == 2
        ask(conn, 1_000_000)
        conn.remove_path(0)
        ask(conn)
        until(lambda: [p.id for p in conn.paths] == [path.id])
        with pytest.raises(jsp.LocalError, match="only path"):
            conn.remove_path(path.id)
        with pytest.raises(jsp.LocalError, match="no path 77"):
            conn.remove_path(77)


def test_where_nobody_answers_the_connection_stays() -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        with pytest.raises(jsp.PathFailed, match="nobody answered"):
            conn.migrate("127.0.0.1", remote_address=("127.0.0.9", 9), timeout=0.3)
        with pytest.raises(OSError, match="cannot listen"):
            conn.migrate("192.0.2.1")
        with pytest.raises(jsp.PathFailed, match="no IPv6 address"):
            conn.migrate("::1")
        ask(conn)
        conn.migrate("127.0.0.1", timeout=5)
        ask(conn)


def test_a_single_path_stays_single() -> None:
    single = jsp.Config(max_paths=1)
    with serving(Echo) as server, jsp.connect(server.url, config=single) as conn, pytest.raises(jsp.PathFailed):
        conn.add_path("127.0.0.2")


def test_no_more_paths_than_there_may_be() -> None:
    with serving(Echo) as server, jsp.connect(server.url, config=jsp.Config(max_paths=2)) as conn:
        with pytest.raises(jsp.PathFailed, match="as many paths"):
            conn.add_path("127.0.0.2")
        conn.migrate("127.0.0.2", timeout=5)


def test_servers_migrate_too() -> None:
    class Mover(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            self.conn.migrate("127.0.0.5", timeout=5)
            self.conn.send(b"moved")

    with serving(Mover, host="0.0.0.0") as server, jsp.connect(url(server)) as conn:
        conn.send(b"move")
        assert conn.recv(timeout=5).data == b"moved"
        assert conn.remote_address == ("127.0.0.5", server.server_port)


def test_clients_move_to_the_address_that_the_server_prefers() -> None:
    spare = jsp.Server(("127.0.0.6", 0), Echo)
    spare.start()
    port = spare.server_port
    spare.stop()
    with serving(Echo, config=jsp.Config(preferred_address=("127.0.0.6", port))) as server:
        with jsp.connect(server.url) as conn:
            until(lambda: conn.remote_address == ("127.0.0.6", port) and len(conn.paths) == 1)
            ask(conn)
        with jsp.connect(server.url, config=jsp.Config(migrate=False)) as conn:
            ask(conn)
            assert conn.remote_address[0] == "127.0.0.1"


def test_a_preferred_address_where_nobody_answers_changes_nothing() -> None:
    config = jsp.Config(preferred_address=("127.0.0.6", 9))
    with serving(Echo, config=config) as server:
        assert server._endpoint is not None
        server._endpoint.keep_sockets(set())
        with jsp.connect(server.url) as conn:
            ask(conn)
            assert conn.remote_address[0] == "127.0.0.1"
            ask(conn)


def test_what_waits_for_a_socket_that_is_closed_holds_nobody_up() -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        endpoint = conn._endpoint
        further = UdpSocket(("127.0.0.1", 0), AF_INET)
        endpoint.add_socket(further)
        endpoint._wait_writable(Transmit(conn.remote_address, b"late", 4, further.address))
        endpoint.keep_sockets(set())
        with gevent.Timeout(5):
            ask(conn)


def test_a_network_that_is_gone_keeps_no_other_from_being_asked() -> None:
    with serving(Echo) as server, jsp.connect(server.url) as conn:
        remote = conn.remote_address
        others = [("192.0.2.1", remote), ("127.0.0.9", remote)]
        until(lambda: conn.core.mobility.can_open(conn.core, False))
        path = moving.start(conn, "127.0.0.8", None, False, others)
        assert {challenge.local[0] for challenge in path.challenges if challenge.local} >= {"127.0.0.9"}

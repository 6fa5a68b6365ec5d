"""The cases of the QUIC interop runner, on its link, jsp at both ends. docs/links.md lists those that wait, too."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
import pytest

import jsp
import jsp.rpc
from jsp.recovery.ecn import CAPABLE
from tests.netlab.lab import HOSTS, HOSTS6
from tests.netlab.support import IDENTITY, KB, MB, PORT, Files, connect, events, fetch, interop_link, serving

pytestmark = [pytest.mark.root]

SEED = int(os.environ.get("JSP_SEED", "0"))
PATIENT = jsp.Config(handshake_timeout=60.0)
CLIENT_HELLO, CLIENT_HANDSHAKE = 0xC0, 0xE0

links = pytest.mark.links


@links(seconds=2)
def test_handshake() -> None:
    with interop_link() as lab, serving(lab) as server, connect(lab, server) as conn:
        fetch(conn, KB)
        assert len(Files.connections) == 1


@links(seconds=11)
def test_transfer_with_windows_smaller_than_the_files() -> None:
    config = jsp.Config(stream_window=64 * KB, stream_window_max=512 * KB, receive_window=MB, max_message=500 * KB)
    with interop_link() as lab, serving(lab) as server, connect(lab, server, config) as conn:
        jobs = [gevent.spawn(fetch, conn, size * MB, size) for size in (2, 3, 5)]
        for job in jobs:
            job.get(timeout=50)
        assert len(Files.connections) == 1


@links(seconds=8)
def test_long_round_trip(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with interop_link(delay=750, log=log) as lab:
        with serving(lab) as server, connect(lab, server) as conn:
            fetch(conn, KB)
        lab.link.stats()
        hellos = [size for side, what, size, first in events(log) if (side, what, first) == ("ab", "offered", 0xC0)]
    # Two datagrams each, sent again before the first answer can be there.
    assert len(hellos) >= 4 and set(hellos) == {1200}


@links(seconds=4)
def test_chacha20() -> None:
    config = jsp.Config(ciphers=("chacha20-poly1305",))
    with interop_link() as lab, serving(lab, config) as server, connect(lab, server, config) as conn:
        fetch(conn, 3 * MB)
        assert conn.negotiated["cipher"] == "chacha20-poly1305"


@links(seconds=5)
def test_multiplexing_of_1999_streams() -> None:
    config = jsp.Config(max_streams=1000)
    with interop_link() as lab, serving(lab, config) as server, connect(lab, server) as conn:
        pool = gevent.pool.Pool(1500)
        for job in [pool.spawn(fetch, conn, 32, i) for i in range(1999)]:
            job.get(timeout=50)
        assert len(Files.connections) == 1


@links(seconds=3)
def test_calls_instead_of_http3() -> None:
    service = jsp.rpc.Service()

    @service.method
    def blob(size: int) -> bytes:
        return bytes(size)

    with interop_link() as lab:
        with lab.inside("b"):
            server = jsp.rpc.Server((HOSTS["b"], PORT), service, identity=IDENTITY)
            server.start()
        with lab.inside("a"):
            client = jsp.rpc.connect(server.url)
        with client:
            futures = [client.submit("blob", size) for size in (5 * KB, 10 * KB, 500 * KB)]
            assert [len(future.result(timeout=20)) for future in futures] == [5 * KB, 10 * KB, 500 * KB]
        server.stop(1.0)


@links(seconds=16)
def test_blackhole() -> None:
    with interop_link() as lab, serving(lab) as server, connect(lab, server) as conn:
        job = gevent.spawn(fetch, conn, 10 * MB)
        while not job.ready():
            job.join(5)
            lab.set(blackhole=1)
            job.join(2)
            lab.set(blackhole=0)
        job.get()


@links(seconds=4)
def test_key_update_by_either_side() -> None:
    with interop_link() as lab, serving(lab) as server, connect(lab, server) as conn:
        fetch(conn, KB)
        for number, core in enumerate((conn.core, Files.connections[0].core), 1):
            assert core.keys.seal is not None
            limit = core.keys.seal.update_at
            core.keys.seal.update_at = core.keys.seal.sealed
            fetch(conn, MB + number)
            assert core.keys.seal is not None
            core.keys.seal.update_at = limit
            fetch(conn, KB)
        assert conn.stats().key_updates >= 2
        assert conn.stats().key_updates == Files.connections[0].stats().key_updates


@links(seconds=4)
def test_amplification_limit(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with interop_link(log=log) as lab:
        lab.link.set("ab", "drop_first=2", "drop_last=7")
        with serving(lab, PATIENT) as server, connect(lab, server, PATIENT) as conn:
            fetch(conn, 5 * KB)
        lab.link.stats()
        received = sent = 0
        for side, what, size, first in events(log):
            if (side, what) == ("ab", "delivered"):
                if first == CLIENT_HANDSHAKE:
                    break
                received += size
            elif (side, what) == ("ba", "offered"):
                sent += size
                assert sent <= 3 * received
        assert sent > 0


def handshakes(count: int, half: int, **harm: Any) -> None:
    """`count` connections one after another that fetch 1 KB each, while both directions do `harm`."""
    with interop_link(seed=2 * SEED + half, **harm) as lab, serving(lab, PATIENT) as server:
        for number in range(count):
            conn = connect(lab, server, PATIENT)
            fetch(conn, KB, number)
            conn.abort()
        assert len(Files.connections) == count


@links(seconds=40)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("half", [0, 1])
def test_handshake_loss(half: int) -> None:
    handshakes(25, half, loss=0.3, loss_run=3)


@links(seconds=25)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("half", [0, 1])
def test_handshake_corruption(half: int) -> None:
    handshakes(25, half, corrupt=0.3)


@links(seconds=12)
def test_each_packet_of_the_handshake_may_be_lost() -> None:
    for side in ("ab", "ba"):
        for number in range(1, 7):
            with interop_link() as lab:
                lab.link.set(side, f"drop_first={number}", f"drop_last={number}")
                with serving(lab) as server, connect(lab, server) as conn:
                    fetch(conn, KB)
                    assert len(Files.connections) == 1


@links(seconds=5)
@pytest.mark.parametrize("harm", [{"loss": 0.02, "loss_run": 3}, {"corrupt": 0.02}], ids=["loss", "corruption"])
def test_transfer(harm: dict[str, Any]) -> None:
    with interop_link(seed=SEED, **harm) as lab, serving(lab) as server, connect(lab, server) as conn:
        fetch(conn, 2 * MB)


@links(seconds=20)
def test_transfer_in_disorder() -> None:
    harm: dict[str, Any] = {"jitter": 5, "jitter_reorder": 1, "reorder": 0.05, "reorder_delay": 20, "duplicate": 0.05}
    with interop_link(seed=SEED, **harm) as lab, serving(lab) as server, connect(lab, server) as conn:
        fetch(conn, 2 * MB)
        assert conn.stats().packets_duplicate > 0


@links(seconds=8)
def test_ecn() -> None:
    lost = {}
    for threshold in (0, 12_000):
        with interop_link(ecn_threshold=threshold) as lab, serving(lab) as server, connect(lab, server) as conn:
            fetch(conn, 3 * MB)
            sender = Files.connections[0]
            for end in (conn, sender):
                assert end.core.paths[0].recovery.ecn.state == CAPABLE
            assert (sender.core.paths[0].recovery.ecn.ce > 0) == (threshold > 0)
            lost[threshold] = sender.stats().packets_lost
    assert lost[12_000] < lost[0], "what the queue marks it need not drop"


@links(seconds=2)
def test_ipv6() -> None:
    with interop_link() as lab, serving(lab, addresses=HOSTS6) as server, connect(lab, server) as conn:
        fetch(conn, 5 * KB)
        fetch(conn, 10 * KB)
        assert ":" in conn.remote_address[0]


@links(seconds=2)
def test_version_negotiation() -> None:
    with interop_link() as lab, serving(lab):
        with lab.inside("a"):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.sendto(b"\xc0\x1a\x2a\x3a\x4a\x08otherone\x04mine".ljust(1200, b"\0"), (HOSTS["b"], PORT))
            gevent.sleep(0.2)
            answer = client.recv(2000, socket.MSG_DONTWAIT)
    assert answer[1:5] == bytes(4)
    assert answer[5:19] == b"\x04mine\x08otherone"
    assert bytes.fromhex("4a535001") in [answer[i : i + 4] for i in range(19, len(answer), 4)]


@links(seconds=11)
@pytest.mark.parametrize("what", ["nat_port", "nat_host"])
def test_rebinding(what: str) -> None:
    with interop_link() as lab, serving(lab) as server, connect(lab, server) as conn:
        job = gevent.spawn(fetch, conn, 10 * MB)
        seen = []
        job.join(1)
        for number in range(1, 20):
            lab.set(**{what: number})
            job.join(5)
            seen.append(Files.connections[0].remote_address)
            if job.ready():
                break
        job.get()
        (path,) = Files.connections[0].paths
        assert len(set(seen)) == len(seen) >= 2
        assert path.state == "validated" and path.remote == seen[-1]
        assert len(Files.connections) == 1


@links(seconds=3)
def test_connectionmigration() -> None:
    with interop_link() as lab, serving(lab) as server, connect(lab, server) as conn:
        job = gevent.spawn(fetch, conn, 2 * MB)
        job.join(0.5)
        before = {path.remote_cids.current for path in conn.core.paths.values()}
        with lab.inside("a"):
            path = conn.migrate()
        used = conn.core.paths[path.id].remote_cids.current
        job.get()
        assert used not in before and conn.local_address == path.local
        assert len(Files.connections) == 1 and Files.connections[0].remote_address[1] == path.local[1]


def _send_all(conn: jsp.Connection, messages: list[bytes], mode: Any) -> None:
    for data in messages:
        conn.send(data, mode=mode)


@links(seconds=10)
@pytest.mark.parametrize("mode", [jsp.RELIABLE, jsp.PartiallyReliable(max_retransmits=3), jsp.BEST_EFFORT], ids=str)
def test_messages_come_once_and_whole(mode: object) -> None:
    harm: dict[str, Any] = {"loss": 0.05, "duplicate": 0.05, "reorder": 0.05, "reorder_delay": 20}
    with interop_link(seed=SEED, **harm) as lab, serving(lab) as server, connect(lab, server) as conn:
        sent = [number.to_bytes(4, "big") * 200 for number in range(500)]
        job = gevent.spawn(_send_all, conn, sent, mode)
        got: list[bytes] = []
        try:
            while len(got) < len(sent):
                got.append(conn.recv(timeout=3).data)
        except jsp.Timeout:
            pass
        job.get(timeout=10)
        assert len(set(got)) == len(got) and set(got) <= set(sent)
        assert len(got) == len(sent) if mode == jsp.RELIABLE else len(got) > len(sent) / 2

"""The lab with real sockets: packets pass, are harmed as asked, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.netlab.emulator import Direction, EmulatorError
from tests.netlab.lab import HOSTS, HOSTS6, Lab, why_not

pytestmark = [pytest.mark.slow, pytest.mark.root]

ROOT = Path(__file__).parent.parent.parent


def udp(lab: Lab, host: str, addresses: dict[str, str] = HOSTS) -> socket.socket:
    """A bound socket on `host` that waits 2 s at most."""
    family = socket.AF_INET6 if addresses is HOSTS6 else socket.AF_INET
    with lab.inside(host):
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((addresses[host], 0))
        made.settimeout(2)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        return made


def pass_on(lab: Lab, count: int, size: int = 100) -> list[bytes]:
    """What arrives of `count` numbered datagrams from a to b."""
    with udp(lab, "a") as a, udp(lab, "b") as b:
        for i in range(count):
            a.sendto(i.to_bytes(2, "big").ljust(size, b"."), b.getsockname())
        b.settimeout(0.3)
        arrived = []
        try:
            while True:
                arrived.append(b.recv(2000))
        except TimeoutError:
            return arrived


@pytest.mark.parametrize("addresses", [HOSTS, HOSTS6], ids=["ipv4", "ipv6"])
def test_a_round_trip_takes_its_time(addresses: dict[str, str]) -> None:
    with Lab(Direction(delay=20), Direction(delay=10)) as lab:
        with udp(lab, "a", addresses) as a, udp(lab, "b", addresses) as b:
            begin = time.monotonic()
            a.sendto(b"ping", b.getsockname())
            data, source = b.recvfrom(100)
            b.sendto(data, source)
            assert a.recv(100) == b"ping"
            assert 0.03 <= time.monotonic() - begin < 1
        stats = lab.link.stats()
        assert stats["ab"]["delivered"] == stats["ba"]["delivered"] == 1


def test_labs_do_not_see_each_other() -> None:
    with Lab() as one, Lab() as two, udp(one, "a") as a, udp(two, "b") as b:
        a.sendto(b"?", b.getsockname())
        b.settimeout(0.1)
        with pytest.raises(TimeoutError):
            b.recv(100)


def test_this_process_stays_where_it_was() -> None:
    home = os.readlink("/proc/self/ns/net")
    with Lab() as lab:
        with lab.inside("a"):
            assert os.readlink("/proc/self/ns/net") != home
        with pytest.raises(FileNotFoundError), lab.inside("a"):
            os.stat("/nowhere")
        assert os.readlink("/proc/self/ns/net") == home


def test_same_seed_same_losses() -> None:
    def lost(seed: int) -> list[bytes]:
        with Lab(Direction(loss=0.2), seed=seed) as lab:
            return pass_on(lab, 300)

    first = lost(5)
    assert 200 < len(first) < 280
    assert first == lost(5)
    assert first != lost(6)


def test_duplicates_and_damage_reach_the_application() -> None:
    with Lab(Direction(duplicate=0.5, corrupt=0.5)) as lab:
        arrived = pass_on(lab, 200)
        stats = lab.link.stats()["ab"]
    assert len(arrived) == 200 + stats["duplicated"] and stats["duplicated"] > 50
    whole = {i.to_bytes(2, "big").ljust(100, b".") for i in range(200)}
    damaged = [data for data in arrived if data not in whole]
    # One that is damaged in its first two bytes may be taken for another.
    assert 50 < stats["corrupted"] - 10 <= len(damaged) <= stats["corrupted"]
    assert all(len(data) == 100 for data in damaged)


def test_damage_is_one_bit() -> None:
    with Lab(Direction(corrupt=1)) as lab, udp(lab, "a") as a, udp(lab, "b") as b:
        for size in (2, 3, 1199, 1200):
            a.sendto(bytes(size), b.getsockname())
            assert sum(byte.bit_count() for byte in b.recv(2000)) == 1


def test_congestion_is_marked() -> None:
    with Lab(Direction(rate=2e5, ecn_threshold=3000)) as lab, udp(lab, "a") as a, udp(lab, "b") as b:
        b.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        a.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0b10)
        for _ in range(10):
            a.sendto(bytes(972), b.getsockname())
        marks = [b.recvmsg(2000, 100)[1][0][2][0] & 0b11 for _ in range(10)]
        # The fifth packet finds four waiting, of which 3,000 bytes are not more than the threshold.
        assert marks == [0b10] * 4 + [0b11] * 6
        a.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)
        for _ in range(10):
            a.sendto(bytes(972), b.getsockname())
        assert not any(b.recvmsg(2000, 100)[1][0][2][0] for _ in range(10))


def test_tcp_passes_and_large_segments_are_split() -> None:
    with Lab(Direction(delay=1, rate=200e6, queue_bytes=500_000), Direction(delay=1)) as lab:
        with lab.inside("b"):
            listener = socket.create_server((HOSTS["b"], 0))
        with lab.inside("a"):
            client = socket.create_connection(listener.getsockname(), 2)
        server = listener.accept()[0]
        client.settimeout(5)
        server.settimeout(5)
        payload = os.urandom(1 << 19)
        sent = 0
        got = bytearray()
        while len(got) < len(payload):
            if sent < len(payload):
                sent += client.send(payload[sent : sent + 65536])
            got += server.recv(1 << 20)
        assert got == payload
        for each in (listener, client, server):
            each.close()
        assert lab.link.stats()["ab"]["offered"] > len(payload) / 1500


def test_a_nat_that_rebinds() -> None:
    with Lab() as lab, udp(lab, "a") as a, udp(lab, "b") as b:
        port = a.getsockname()[1]

        def seen() -> tuple[str, int]:
            a.sendto(b"hello", b.getsockname())
            data, source = b.recvfrom(100)
            b.sendto(data, source)
            assert a.recv(100) == b"hello"
            return (source[0], source[1])

        assert seen() == (HOSTS["a"], port)
        lab.set(nat_port=5)
        assert seen() == (HOSTS["a"], port + 5)
        lab.set(nat_host=9)
        assert seen() == ("10.77.0.10", port + 5)
        b.sendto(b"old", (HOSTS["a"], port))
        b.sendto(b"wrong", ("10.77.0.10", port + 6))
        a.settimeout(0.1)
        with pytest.raises(TimeoutError):
            a.recv(100)


def test_parameters_change_under_way() -> None:
    with Lab() as lab:
        assert len(pass_on(lab, 5)) == 5
        lab.set(blackhole=1)
        assert pass_on(lab, 5) == []
        assert lab.link.stats()["ab"]["dropped"] == 5
        lab.link.reset()
        lab.set(blackhole=0)
        assert len(pass_on(lab, 5)) == 5
        assert lab.link.stats()["ab"]["dropped"] == 0


def test_mistakes_are_told() -> None:
    with Lab() as lab:
        for word, reason in (("speed=1", "no such parameter"), ("rate=fast", "a number"), ("rate", "name=value")):
            with pytest.raises(EmulatorError, match=reason):
                lab.link.set("ab", word)
        os.kill(lab.link.pid, signal.SIGKILL)
        with pytest.raises(EmulatorError, match="ended"):
            lab.link.stats()


def test_a_log_tells_of_each_packet(tmp_path: Path) -> None:
    with Lab(Direction(drop_first=2, drop_last=2, delay=3), log=tmp_path / "log") as lab:
        pass_on(lab, 3)
        lab.link.stats()
        lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    told = sorted((number, what) for _, side, what, number, _, _ in lines if side == "ab" and what != "offered")
    assert told == [("1", "delivered"), ("2", "dropped"), ("3", "delivered")]
    assert {length for *_, length, _ in lines} == {"128"}


def test_programs_run_on_a_host_and_end_with_the_lab() -> None:
    with Lab() as lab:
        where = lab.start("a", ["readlink", "/proc/self/ns/net"]).communicate(timeout=5)[0].strip()
        with lab.inside("a"):
            assert where == os.readlink("/proc/self/ns/net")
        running = lab.start("b", ["sleep", "60"])
        assert running.poll() is None
    assert running.returncode == -signal.SIGKILL


def _of_namespaces(names: set[str]) -> list[int]:
    """Processes that are in one of these network namespaces."""
    inhabitants = []
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            if os.readlink(path) in names:
                inhabitants.append(int(path.parts[2]))
        except OSError:
            continue
    return inhabitants


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_when_a_test_is_killed(how: signal.Signals) -> None:
    program = (
        "import os, time\n"
        "from tests.netlab.lab import Lab\n"
        "lab = Lab()\n"
        "running = [lab.start(host, ['sleep', '60']) for host in 'ab']\n"
        "time.sleep(0.2)\n"
        "names = {os.readlink(f'/proc/{p.pid}/ns/net') for p in running}\n"
        "print(lab.link.pid, *names, flush=True)\n"
        "time.sleep(60)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    assert driver.stdout is not None
    with driver.stdout:
        emulator, *names = driver.stdout.readline().split()
    assert len(names) == 2 and len(_of_namespaces(set(names))) >= 2
    driver.send_signal(how)
    driver.wait(5)
    end = time.monotonic() + 5
    while _of_namespaces(set(names)) or Path(f"/proc/{emulator}").exists():
        assert time.monotonic() < end, "processes are left"
        time.sleep(0.02)


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    why_not.cache_clear()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert why_not() == "network namespaces need root"
    why_not.cache_clear()

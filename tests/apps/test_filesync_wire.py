"""What others on the network see of a transfer, and what becomes of one when they lose some of it."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import jsp
from apps.filesync.main import main
from apps.filesync.settings import CONFIG
from jsp.transfer import handler
from jsp.wire.address import encode_access_key
from tests.net.support import serving, until
from tests.net.wire_proxy import WireProxy
from tests.transfer.trees import assert_same, write

KEY = bytes(range(100, 116))

# Shorter than half a datagram, so that one with only a part of it cannot be among many with none.
MARKER = b"<what nobody else may read>"
NAME = "the-name-of-the-file.txt"
FOLDER = "the-name-of-the-directory"


pytestmark = pytest.mark.usefixtures("nothing_left")


@contextmanager
def network(directory: Path, **options: object) -> Iterator[WireProxy]:
    """The network before a server over `directory`."""
    directory.mkdir(exist_ok=True)
    trust = jsp.Trust.access_key(KEY)
    with serving(handler(directory), config=CONFIG, trust=trust) as server, WireProxy(server.url, **options) as proxy:
        yield proxy


@pytest.mark.parametrize("way", ["push", "pull"])
def test_nothing_of_a_file_its_name_or_the_key_is_on_the_wire(way: str) -> None:
    size = len(MARKER) * 10_000
    src, served = (Path("src"), Path("served")) if way == "push" else (Path("served"), Path("served"))
    write(src / FOLDER / NAME, MARKER * 10_000)
    with network(served, record=True) as proxy:
        command = ["push", f"src/{FOLDER}", proxy.url] if way == "push" else ["pull", f"{proxy.url}/{FOLDER}", "copy"]
        assert main(command) == 0
        secrets = [MARKER, NAME.encode(), FOLDER.encode(), KEY, encode_access_key(KEY).encode(), b"mtime"]
        assert not [secret for secret in secrets if proxy.carried(secret)]
        with_data, others = (
            (proxy.to_server, proxy.to_clients) if way == "push" else (proxy.to_clients, proxy.to_server)
        )
        assert sum(map(len, with_data)) > size and len(others) > 10
        # That the proxy would have seen it:
        _send_in_the_clear(proxy, MARKER)
        assert proxy.carried(MARKER)
    assert_same(src / FOLDER, (served if way == "push" else Path("copy")) / FOLDER)


def _send_in_the_clear(proxy: WireProxy, text: bytes) -> None:
    seen = len(proxy.to_server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"before " + text + b" after", ("127.0.0.1", proxy.port))
    until(lambda: len(proxy.to_server) > seen)


def test_the_same_file_twice_looks_different_each_time() -> None:
    write(Path("served") / NAME, MARKER * 1000)
    seen = []
    for turn in ("one", "two"):
        with network(Path("served"), record=True) as proxy:
            assert main(["pull", proxy.url, turn]) == 0
            seen.append({datagram[i : i + 16] for datagram in proxy.to_clients for i in range(64, len(datagram) - 16)})
    assert len(seen[0]) > 20_000
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_tree_arrives_intact_over_a_network_that_loses_datagrams(way: str) -> None:
    chance = random.Random(5)
    src = Path("src") if way == "push" else Path("served")
    write(src / "large", chance.randbytes(200_000))
    for i in range(20):
        write(src / f"dir{i % 3}" / f"{i}", chance.randbytes(chance.randrange(3000)))
    (src / "link").symlink_to("large")
    with network(Path("served"), loss=0.02, delay=0.020, seed=11) as proxy:
        started = time.monotonic()
        assert main(["push", "src/", proxy.url] if way == "push" else ["pull", proxy.url, "copy"]) == 0
        assert time.monotonic() - started > 0.080, "the handshake and the transfer take a round trip each at least"
        assert proxy.dropped > 0
    assert_same(src, Path("served") if way == "push" else Path("copy"))

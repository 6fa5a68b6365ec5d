"""`jsp-sync` under what takes long: kills at random moments, a lossy link, many files, one very large file."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.filesync.main import main
from jsp.transfer.chunks import CHUNK
from tests.apps.sync import is_one_line, program, run, serve
from tests.cli.support import eventually
from tests.net.wire_proxy import WireProxy
from tests.transfer.trees import assert_same, make_tree, missing, stored, write

pytestmark = pytest.mark.slow

GIB = 1 << 30


@pytest.fixture(params=["push", "pull"])
def way(request: pytest.FixtureRequest) -> str:
    """Who sends: the client or the server."""
    return str(request.param)


def ends(way: str) -> tuple[Path, Path]:
    """Where the original and the copy are."""
    return (Path("src"), Path("served")) if way == "push" else (Path("served"), Path("copy"))


def command(way: str, address: str) -> tuple[str, ...]:
    """What to call `jsp-sync` with."""
    return ("push", "--json", "src/", address) if way == "push" else ("pull", "--json", f"{address}/", "copy")


def copied(way: str, *arguments: str) -> dict[str, Any]:
    """Copy from start to end; the totals."""
    Path("served").mkdir(exist_ok=True)
    with serve(Path("served")) as server:
        done = run(*command(way, server.line()), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    totals: dict[str, Any] = json.loads(done.stdout)
    print(f"{way}: {totals}")
    return totals


# --- kills -------------------------------------------------------------------------------------------------------


def make_killed_tree(root: Path) -> int:
    """A tree of some large files and many small ones; its size in bytes."""
    make_tree(root, size=40 * CHUNK + 1)
    chance = random.Random(2)
    for i in range(4):
        write(root / f"part{i}" / "large", chance.randbytes(24 * CHUNK + i))
        for j in range(100):
            write(root / f"part{i}" / f"{j}", chance.randbytes(chance.randrange(20_000)))
    return stored(root)


def start_and_kill(way: str, victim: str, moment: int) -> None:
    """Begin to copy, and kill the client, the server or both when `moment` bytes are there."""
    with serve(Path("served")) as server, program(*command(way, server.line())) as client:
        eventually(lambda: stored(ends(way)[1]) >= moment or client.process.poll() is not None)
        for name, process in (("client", client), ("server", server)):
            if victim in (name, "both"):
                assert process.stop(signal.SIGKILL) == -signal.SIGKILL, "there was nothing left to kill"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", ["client", "server", "both"])
def test_a_kill_costs_a_chunk_for_each_open_file_at_most(way: str, victim: str) -> None:
    chance = random.Random(f"{way} {victim}")
    src, dst = ends(way)
    total = make_killed_tree(src)
    for _ in range(4):
        Path("served").mkdir(exist_ok=True)
        moment = int(chance.uniform(0.01, 0.85) * total)
        start_and_kill(way, victim, moment)
        lost, begun = missing(src, dst)
        sent = copied(way)["bytes_sent"]
        print(f"{way}, {victim} killed at {moment} of {total}: {lost} missing, {begun} begun, {sent} sent again")
        assert_same(src, dst)
        assert 0 < sent <= lost + begun * CHUNK
        dst.rename(f"done {moment}")


@pytest.mark.timeout(120)
def test_a_copy_that_is_killed_again_and_again_arrives(way: str) -> None:
    src, dst = ends(way)
    total = make_killed_tree(src)
    Path("served").mkdir(exist_ok=True)
    for tenth in (1, 2, 4, 5, 7, 8):
        start_and_kill(way, "both", tenth * total // 10)
    lost, begun = missing(src, dst)
    assert lost < 0.3 * total
    assert 0 < copied(way)["bytes_sent"] <= lost + begun * CHUNK
    assert_same(src, dst)


@pytest.mark.timeout(120)
def test_a_client_notices_that_its_server_was_killed(way: str) -> None:
    src, dst = ends(way)
    make_killed_tree(src)
    Path("served").mkdir(exist_ok=True)
    with serve(Path("served")) as server, program(*command(way, server.line())) as client:
        eventually(lambda: stored(dst) > CHUNK)
        server.stop(signal.SIGKILL)
        assert client.process.wait(60) == 1
        assert is_one_line(client.errors()) and "nothing heard from the peer for 30 s" in client.errors()
        assert json.loads(client.line())["error"] in client.errors()


# --- networks ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_tree_arrives_intact_over_a_network_that_loses_datagrams(
    way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    src, dst = ends(way)
    make_tree(src, size=12 * CHUNK)
    Path("served").mkdir(exist_ok=True)
    with serve(Path("served")) as server, WireProxy(server.line(), loss=0.02, delay=0.020, seed=3) as proxy:
        assert main(command(way, proxy.url)) == 0
        totals = json.loads(capsys.readouterr().out)
        print(f"{way}: {totals}, {proxy.dropped} datagrams dropped, {proxy.forwarded} forwarded")
    assert totals["bytes_sent"] == totals["bytes_total"]
    assert proxy.dropped > 3
    assert_same(src, dst)


# --- much --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_the_standard_library_arrives_as_it_is(way: str) -> None:
    # What others have installed is no part of it, and may change while we look.
    library, others = Path(sysconfig.get_path("stdlib")), "site-packages"
    src, dst = ends(way)
    src.symlink_to(library)
    totals = copied(way, f"--exclude=/{others}")
    assert totals["bytes_sent"] == totals["bytes_total"] > 10_000_000
    assert_same(library, dst, without=others)
    assert copied(way, f"--exclude=/{others}")["bytes_sent"] == 0


@pytest.mark.timeout(120)
def test_ten_thousand_small_files(way: str) -> None:
    src, dst = ends(way)
    chance = random.Random(4)
    for i in range(10_000):
        write(src / f"{i % 10}" / f"{i}", chance.randbytes(4096))
    assert copied(way)["files_sent"] == 10_000
    assert_same(src, dst)


@pytest.fixture
def gibibyte() -> Iterator[tuple[Path, str]]:
    """A file of one GiB in which no two blocks are the same, and its hash. It goes away, and so does its copy."""
    block = random.Random(1).randbytes(1 << 20)
    digest = hashlib.sha256()
    file = write(Path("served/large"))
    with open(file, "wb") as out:
        for number in range(GIB // len(block)):
            numbered = number.to_bytes(8, "big") + block[8:]
            digest.update(numbered)
            out.write(numbered)
    yield file, digest.hexdigest()
    file.unlink()
    Path("copy/large").unlink(missing_ok=True)


@pytest.mark.timeout(600)
def test_a_file_of_one_gibibyte(gibibyte: tuple[Path, str]) -> None:
    totals = copied("pull")
    assert totals["bytes_sent"] == GIB
    assert os.path.getsize("copy/large") == GIB
    with open("copy/large", "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == gibibyte[1]

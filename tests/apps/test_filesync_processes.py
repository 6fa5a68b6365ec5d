"""`jsp-sync` as processes: serving, signals, kills, permissions, disks that are full."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

import jsp
from apps.filesync import demo
from apps.filesync.main import main
from jsp.transfer.chunks import CHUNK
from tests.apps.sync import is_one_line, powerless, program, run, serve, without_key
from tests.cli.support import ROOT, eventually, interrupts
from tests.net.support import until
from tests.transfer.ends import SmallDisk
from tests.transfer.trees import assert_same, make_tree, missing, stored, write

# At 50 MB/s or less this leaves a fifth of a second to do something in the middle.
# So much that it is not there before somebody has stopped it.
LARGE = 200 * CHUNK


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory and the address of a server that holds to the modes of files, whoever runs it."""
    home = tmp_path_factory.mktemp("server")
    (home / "served").mkdir()
    with serve(home / "served", "--identity", home / "identity.key", wrapper=powerless()) as process:
        yield home / "served", process.line()
        assert process.stop() == 0
        assert "Traceback" not in process.errors()


@pytest.fixture
def place(server: tuple[Path, str], tmp_path: Path) -> Path:
    """A directory of the test's own in the one that is served."""
    (server[0] / tmp_path.name).mkdir()
    return server[0] / tmp_path.name


@pytest.fixture
def address(server: tuple[Path, str], place: Path) -> str:
    """Its address."""
    return f"{server[1]}/{place.name}"


# --- serving -----------------------------------------------------------------------------------------------------


def test_serve_with_workers() -> None:
    Path("served").mkdir()
    make_tree(Path("here"), 1)
    with serve(Path("served"), "--workers", "2") as server:
        address = server.line()
        for number in range(3):
            assert main(["push", "here/", f"{address}/{number}"]) == 0
            assert_same(Path("here"), Path("served", str(number)))
        assert server.stop() == 0
        assert "Traceback" not in server.errors()


def test_serve_prints_an_address_with_a_fresh_key_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("served/file"), "content")
    with serve(Path("served")) as first, serve(Path("served"), "--json") as second:
        address, other = first.line(), json.loads(second.line())["address"]
        assert address.split(":")[0] == other.split(":")[0], "the identity is kept"
        assert address.split("@")[0] != other.split("@")[0], "the key is not"
        assert main(["pull", address, "one"]) == main(["pull", other, "two"]) == 0
        assert main(["pull", without_key(address), "three"]) == 1
        assert (first.stop(), second.stop(signal.SIGTERM)) == (0, 0)
        assert "jsp-sync: pull of / by jsp1" in first.errors() and "1 file, 7 B: sent 7 B in 1 file" in first.errors()
        assert "Traceback" not in first.errors() + second.errors()
    assert sorted(path.name for path in Path().iterdir()) == ["config", "one", "served", "two"]


def test_allow_lets_in_those_who_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("served/file"), "content")
    identities = [jsp.Identity.generate() for _ in range(3)]
    for name, identity in zip(("by id", "in file", "stranger"), identities, strict=True):
        identity.save(f"{name}.key")
    write(Path("peers"), f"{identities[1].peer_id}\n")
    with serve(Path("served"), "--allow", str(identities[0].peer_id), "--allow", "peers") as server:
        address = server.line()
        assert address == without_key(address)
        statuses = [main(["pull", address, "copy", "--identity", f"{n}.key"]) for n in ("by id", "in file", "stranger")]
    assert statuses == [0, 0, 1]
    assert is_one_line(capsys.readouterr().err)


def test_public_lets_in_everybody_and_read_only_takes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("file"), "new")
    write(Path("served/old"), "old")
    with serve(Path("served"), "--read-only", "--public") as server:
        address = server.line()
        assert address == without_key(address)
        assert main(["push", "file", address]) == 1
        assert capsys.readouterr().err == "jsp-sync: the other side gave up: this directory is served read-only\n"
        assert main(["pull", address, "copy"]) == 0
        server.wait_for_error("pull of /")
        assert "jsp-sync: push to / by jsp1" in server.errors()
        assert server.errors().count("\n") == 3, "the identity that was made, the push, the pull"
    assert os.listdir("served") == os.listdir("copy") == ["old"]


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["serve", ".", "--listen", place, "--public"]) == 1
    out, errors = capsys.readouterr()
    assert errors.splitlines()[-1] == f"jsp-sync: cannot listen on {place}: Address already in use"
    assert out == ""


@pytest.mark.parametrize(("name", "complaint"), [("missing", "No such file or directory"), ("file", "Not a directory")])
def test_what_cannot_be_served_is_one_line(name: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("file"))
    assert main(["serve", name, "--listen", "127.0.0.1:0"]) == 1
    out, errors = capsys.readouterr()
    assert is_one_line(errors) and errors.endswith(f"{name}: {complaint}\n")
    assert out == ""


# --- signals -----------------------------------------------------------------------------------------------------


@interrupts
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_copy_that_is_stopped_ends_quietly_and_goes_on_later(
    number: signal.Signals, status: int, place: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("src/large"), os.urandom(LARGE))
    with program("push", "--json", "src/", address) as client:
        eventually(lambda: stored(place) > CHUNK)
        assert client.stop(number) == status
        assert (client.line(), client.errors()) == ("", "")
    lost, _ = missing(Path("src"), place)
    assert main(["push", "--json", "src/", address]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["bytes_sent"] <= lost < LARGE
    assert_same(Path("src"), place)


@interrupts
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_server_that_is_stopped_says_so_to_its_clients(
    number: signal.Signals, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("served/large"), os.urandom(LARGE))
    with serve(Path("served")) as server:

        def stop() -> None:
            until(lambda: stored(Path("copy")) > CHUNK)
            server.process.send_signal(number)

        stopping = gevent.spawn(stop)
        assert main(["pull", server.line(), "copy"]) == 1
        stopping.get()
        assert server.process.wait(10) == status
        assert "Traceback" not in server.errors()
    out, errors = capsys.readouterr()
    assert is_one_line(errors) and "the server stops" in errors
    assert out == ""


def test_a_copy_goes_on_after_a_kill(place: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(place, size=LARGE)
    with program("pull", f"{address}/", "copy") as client:
        eventually(lambda: stored(Path("copy")) > 4 * CHUNK)
        assert client.stop(signal.SIGKILL) == -signal.SIGKILL
    lost, begun = missing(place, Path("copy"))
    assert 0 < lost < LARGE
    assert main(["pull", "--json", f"{address}/", "copy"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["bytes_sent"] <= lost + begun * CHUNK
    assert_same(place, Path("copy"))


# --- permissions and disks ---------------------------------------------------------------------------------------


def test_where_nobody_may_write_is_one_line(place: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("src/file"), "x")
    for folder in (place / "locked", Path("locked")):
        folder.mkdir()
        folder.chmod(0o555)
    assert main(["push", "src", f"{address}/locked/new"]) == 1
    errors = capsys.readouterr().err
    assert is_one_line(errors) and errors.endswith("/locked/new: Permission denied\n")
    done = run("pull", f"{address}/", "locked/new", wrapper=powerless())
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "jsp-sync: locked/new: Permission denied\n")
    assert os.listdir(place / "locked") == os.listdir("locked") == []


def test_a_file_that_cannot_be_read_is_reported_and_the_rest_arrives(
    place: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "secret", "two"):
        write(place / name, name)
    (place / "secret").chmod(0)
    assert main(["pull", "--json", f"{address}/", "copy"]) == 1
    out, errors = capsys.readouterr()
    assert errors == "jsp-sync: secret: Permission denied\n"
    assert json.loads(out)["errors"] == 1
    assert sorted(os.listdir("copy")) == ["one", "two"]


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_full_disk_is_one_line_and_what_has_arrived_is_used(
    way: str, place: Path, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    src, target = (tmp_path / "src", place) if way == "push" else (place, tmp_path)
    write(src / "new", os.urandom(6 * CHUNK))
    write(src / "small", "fits")
    with SmallDisk(target / "disk", kilobytes=1024) as disk:
        copy = disk.path / "copy"
        command = ["push", "src/", f"{address}/disk/copy"] if way == "push" else ["pull", f"{address}/", "disk/copy"]
        write(copy / "new", "the old version")
        assert main(command) == 1
        errors = capsys.readouterr().err
        assert is_one_line(errors) and "no space is left on the disk (at new)" in errors
        assert (copy / "new").read_text() == "the old version"
        lost, _ = missing(src, copy)
        disk.enlarge(8192)
        assert main([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["bytes_sent"] == lost < 6 * CHUNK
        assert_same(src, copy)


# --- demo --------------------------------------------------------------------------------------------------------


def test_the_demo_copies_and_compares(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "_PACKAGES", ("json",))
    monkeypatch.setattr(demo, "_RANDOM_MIB", 1)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert demo.main() == 0
    out, errors = capfd.readouterr()
    assert out.startswith("jsp demo: ok: ") and out.endswith("hashes, modes, mtimes and links are the same\n")
    assert (out.count("\n"), errors) == (1, "")
    assert not Path("config").exists(), "the user's own identity has nothing to do with it"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda copy: os.utime(copy / "old", ns=(0, 915148799_123456788)), "old"),
        (lambda copy: (copy / "run-me").chmod(0o644), "run-me"),
        (lambda copy: (copy / "library" / "more").touch(), "library/more"),
        (lambda copy: (copy / "dangling").unlink(), "dangling"),
    ],
    ids=["mtime", "mode", "more", "less"],
)
def test_the_demo_sees_what_is_not_the_same(
    change: Callable[[Path], object], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_PACKAGES", ("json",))
    monkeypatch.setattr(demo, "_RANDOM_MIB", 0)
    demo._make_tree(tmp_path / "source")
    shutil.copytree(tmp_path / "source", tmp_path / "copy", symlinks=True)
    assert demo._compare(tmp_path / "source", tmp_path / "copy") is None
    time = (tmp_path / "copy" / "library").stat().st_mtime_ns
    change(tmp_path / "copy")
    os.utime(tmp_path / "copy" / "library", ns=(time, time))
    os.utime(tmp_path / "copy", ns=(0, 0))
    assert demo._compare(tmp_path / "source", tmp_path / "copy") == name

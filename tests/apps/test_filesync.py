"""`jsp-sync push` and `pull` from the command line, against a server in a process of its own."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.filesync.main import main
from jsp.transfer.chunks import CHUNK
from tests.apps.sync import changed_key, is_one_line, serve, without_key
from tests.net.support import IDENTITY, OTHER, serving
from tests.transfer.trees import TIME, assert_same, identities, make_tree, write

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory and the address of a server that all tests here use."""
    home = tmp_path_factory.mktemp("server")
    (home / "served").mkdir()
    with serve(home / "served", "--identity", home / "identity.key") as program:
        yield home / "served", program.line()


@pytest.fixture
def place(server: tuple[Path, str], tmp_path: Path) -> Path:
    """A directory of the test's own in the one that is served."""
    (server[0] / tmp_path.name).mkdir()
    return server[0] / tmp_path.name


@pytest.fixture
def address(server: tuple[Path, str], place: Path) -> str:
    """Its address."""
    return f"{server[1]}/{place.name}"


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A tree to copy."""
    return make_tree(tmp_path / "src")


# --- copying -----------------------------------------------------------------------------------------------------


def test_push(src: Path, place: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "src/", address]) == 0
    assert_same(src, place)
    out, errors = capsys.readouterr()
    assert out.startswith("29 files, 1.11 MB: sent 1.11 MB in 29 files, ") and out.count("\n") == 1
    assert errors == ""


def test_pull(src: Path, place: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    src.rename(place / "tree")
    assert main(["pull", f"{address}/tree/", "copy"]) == 0
    assert_same(place / "tree", Path("copy"))
    out, errors = capsys.readouterr()
    assert out.startswith("29 files, 1.11 MB: sent 1.11 MB in 29 files, ") and out.count("\n") == 1
    assert errors == ""


def test_a_slash_at_the_end_means_the_contents(src: Path, place: Path, address: str) -> None:
    assert main(["push", "src", address]) == main(["push", "src/sub/", f"{address}/new"]) == 0
    assert_same(src, place / "src")
    assert_same(src / "sub", place / "new")
    assert main(["pull", f"{address}/src/sub", "copy"]) == main(["pull", f"{address}/src/sub/", "contents"]) == 0
    assert_same(src / "sub", Path("copy/sub"))
    assert_same(src / "sub", Path("contents"))


def test_a_single_file_under_another_name(place: Path, address: str) -> None:
    file = write(Path("file"), "content")
    assert main(["push", "file", f"{address}/renamed"]) == main(["push", "./file", f"{address}/dir/"]) == 0
    assert main(["pull", f"{address}/renamed", "here"]) == main(["pull", f"{address}/renamed", "dir/"]) == 0
    assert main(["push", "file", f"{address}/me@home:1"]) == main(["push", "file", f"{address}/\udcff"]) == 0
    paths = [place / "renamed", place / "dir" / "file", Path("here"), Path("dir/renamed")]
    paths += [place / "me@home:1", place / "\udcff"]
    assert [path.read_bytes() for path in paths] == [file.read_bytes()] * 6


def test_the_second_run_sends_nothing(src: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "src/", address]) == main(["push", "src/", address]) == 0
    assert "29 files, 1.11 MB: sent 0 B in 0 files, " in capsys.readouterr().out


def test_json_is_one_object_on_stdout(src: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "--json", "src/", address]) == 0
    out, errors = capsys.readouterr()
    totals = json.loads(out)
    assert totals.pop("seconds") > 0
    size = totals["bytes_total"]
    assert totals == {
        "files": 29, "directories": 5, "links": 3, "files_sent": 29, "bytes_total": size, "bytes_sent": size,
        "bytes_skipped": 0, "errors": 0,
    }  # fmt: skip
    assert (out.count("\n"), errors) == (1, "")


def test_a_dry_run_lists_files_and_copies_nothing(
    src: Path, place: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", "src/sub", address]) == 0
    write(src / "sub" / "two\nlines \x1b[31m", "new")
    write(src / "sub" / "run", "changed", mtime=TIME + 1)
    before = identities(place)
    capsys.readouterr()
    assert main(["push", "-n", "src/sub", address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines[:-1]) == ["sub/run", "sub/two\\nlines \\x1b[31m"]
    assert lines[-1] == "4 files, 262 kB: would send 10 B in 2 files"
    assert main(["push", "--dry-run", "--json", "src/sub", address]) == 0
    assert sorted(json.loads(capsys.readouterr().out)["would_send"]) == sorted(lines[:-1])
    assert main(["pull", "--dry-run", f"{address}/", "copy"]) == 0
    assert identities(place) == before and not Path("copy").exists()


def test_exclude_leaves_out(src: Path, place: Path, address: str) -> None:
    assert main(["push", "src/", address, "--exclude", "*.bin", "--exclude=/many"]) == 0
    assert (place / "sub" / "run").exists()
    assert not list(place.rglob("*.bin")) and not (place / "many").exists()
    assert main(["pull", address, "copy", "--exclude", "sub/"]) == 0
    assert [path.name for path in Path("copy").iterdir()] == [place.name]
    assert not (Path("copy") / place.name / "sub").exists()


def test_checksum_looks_at_contents(place: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    for content, path in ((b"one", Path("src/file")), (b"two", place / "file")):
        write(path, content)
    assert main(["push", "src/", address]) == 0
    assert (place / "file").read_bytes() == b"two"
    assert main(["push", "-c", "src/", address]) == 0
    assert (place / "file").read_bytes() == b"one"
    said = [line.split(", ")[1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["3 B: sent 0 B in 0 files", "3 B: sent 3 B in 1 file"]


def test_of_a_changed_file_one_chunk_is_sent(place: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(os.urandom(6 * CHUNK))
    write(Path("src/file"), bytes(content))
    assert main(["push", "--json", "src/", address]) == 0
    content[4 * CHUNK - 1] ^= 1
    write(Path("src/file"), bytes(content), mtime=TIME + 1)
    capsys.readouterr()
    assert main(["push", "--json", "src/", address]) == 0
    totals = json.loads(capsys.readouterr().out)
    assert (totals["bytes_sent"], totals["bytes_skipped"]) == (CHUNK, 5 * CHUNK)
    assert_same(Path("src"), place)


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_problems_with_single_files_are_lines_and_exit_status_1(
    src: Path, place: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "empty").mkdir()
    (place / "two\nlines\t\x1b[31m").mkdir()
    assert main(["push", "src/", address]) == 1
    out, errors = capsys.readouterr()
    assert sorted(errors.splitlines()) == [
        "jsp-sync: empty: a directory is in its way",
        "jsp-sync: two\\nlines\\t\\x1b[31m: a directory is in its way",
    ]
    assert out.startswith("29 files, ") and out.endswith("; 2 errors\n")
    assert (place / "sub" / "run").read_bytes() == (src / "sub" / "run").read_bytes()
    assert main(["push", "--json", "src/", address]) == 1
    assert json.loads(capsys.readouterr().out)["errors"] == 2


@pytest.mark.parametrize(
    "path", ["/../x", "/a/../../x", "//etc/passwd", "/./x", "/missing", "/missing/", "/missing\udcff\n\x1b[2J"]
)
def test_refused_and_missing_paths_are_one_line(
    path: str, server: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("file"))
    before = identities(Path())
    assert main(["pull", server[1] + path, "copy"]) == 1
    assert is_one_line(capsys.readouterr().err)
    if "missing" not in path:
        assert main(["push", "file", server[1] + path]) == 1
        assert is_one_line(capsys.readouterr().err)
    assert identities(Path()) == before


def test_a_link_that_leads_out_is_not_followed(
    place: Path, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("outside/secret"), "secret")
    write(Path("file"), "new")
    (place / "link").symlink_to(tmp_path / "outside")
    before = identities(Path("outside"))
    for path in ("link/", "link/secret", "link/..", "link/../link/secret"):
        assert main(["pull", f"{address}/{path}", "copy"]) == 1
        assert is_one_line(capsys.readouterr().err)
    for path in ("link/new", "link/", "link/../new"):
        assert main(["push", "file", f"{address}/{path}"]) == 1
        assert is_one_line(capsys.readouterr().err)
    assert identities(Path("outside")) == before and not Path("copy").exists()
    assert main(["pull", f"{address}/link", "copy"]) == 0
    assert os.readlink("copy") == str(tmp_path / "outside")


def test_a_failure_is_in_the_json_too(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "--json", f"{address}/missing", "copy"]) == 1
    out, errors = capsys.readouterr()
    totals = json.loads(out)
    assert is_one_line(errors) and errors == f"jsp-sync: {totals['error']}\n"
    assert totals["error"].endswith("/missing: No such file or directory") and totals["files"] == 0


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["push", "missing"], "missing: No such file or directory"),
        (["push", "missing/"], "missing/: No such file or directory"),
        (["push", "file/"], "file/: Not a directory"),
        (["push", "/dev/null"], "null is neither file nor directory nor link"),
    ],
)
def test_what_cannot_be_pushed(
    command: list[str], complaint: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("file"))
    assert main([*command, address]) == 1
    assert capsys.readouterr().err == f"jsp-sync: {complaint}\n"


def test_where_nothing_can_be_pulled_to(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("file"), "mine")
    assert main(["pull", address, "file"]) == 1
    assert capsys.readouterr().err == "jsp-sync: file: Not a directory\n"
    assert main(["pull", address, ""]) == 1
    assert is_one_line(capsys.readouterr().err)
    assert Path("file").read_text() == "mine"


def test_errors_beyond_those_that_are_kept_are_counted(
    src: Path, place: Path, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jsp.transfer.report.PROBLEMS_KEPT", 1)
    for name in ("empty", "large.bin", "link"):
        (place / name).mkdir()
    assert main(["push", "src/", address]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[1] == "jsp-sync: and 2 more errors"


# --- who is let in -----------------------------------------------------------------------------------------------


def test_a_client_without_the_access_key_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", without_key(address), "copy"]) == 1
    assert "access key" in (errors := capsys.readouterr().err)
    assert is_one_line(errors) and not Path("copy").exists()


def test_a_wrong_access_key_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = changed_key(address, lambda key: ("b" if key[0] == "a" else "a") + key[1:])
    assert main(["pull", wrong, "copy"]) == 1
    assert "access key" in (errors := capsys.readouterr().err)
    assert is_one_line(errors) and not Path("copy").exists()


def test_the_access_key_from_a_file_or_a_variable(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = address.split(":")[1].split("@")[0]
    write(Path("key"), key + "\n")
    assert main(["pull", without_key(address), "copy", "--key-file", "key"]) == 0
    monkeypatch.setenv("JSP_KEY", key)
    assert main(["pull", without_key(address), "copy"]) == 0
    assert capsys.readouterr().err == ""


def test_another_server_than_the_address_says_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("secret"), "for the right one only")
    assert main(["push", "secret", f"{OTHER.peer_id}:{address.split(':', 1)[1]}"]) == 1
    errors = capsys.readouterr().err
    assert is_one_line(errors) and str(OTHER.peer_id) in errors


def test_a_server_of_another_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda conn: None) as server:
        assert main(["pull", server.url, "copy"]) == 1
    assert "application protocol" in (errors := capsys.readouterr().err)
    assert is_one_line(errors)


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert main(["pull", f"{IDENTITY.peer_id}@127.0.0.1:{port}", "copy", "--json"]) == 1
    out, errors = capsys.readouterr()
    assert is_one_line(errors) and json.loads(out)["error"] in errors


# --- usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        [], ["nonsense"], ["push"], ["push", "src"], ["pull", "h:1"], ["push", "src", "nowhere", "more"],
        ["pull", "jsp1nonsense@1:2", "copy"], ["pull", "host", "copy"], ["pull", "h:1", "copy", "--nonsense"],
        ["pull", "h:1", "copy", "--timeout", "0"], ["serve"], ["serve", ".", "--listen", "x"],
        ["serve", ".", "--public", "--allow", "x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert is_one_line(capsys.readouterr().err)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["serve", "--help"], ["push", "--help"], ["pull", "-h"]])
def test_help_and_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "jsp-sync" in capsys.readouterr().out


def test_debug_shows_a_traceback(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", f"{address}/missing", "copy", "--debug"]) == 1
    errors = capsys.readouterr().err
    assert "Traceback" in errors and "PeerGaveUp" in errors
    assert errors.splitlines()[-1].endswith("missing: No such file or directory")

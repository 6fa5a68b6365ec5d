"""`jsp ping`: against every kind of server, and what it says when there is no answer."""

from __future__ import annotations

import json
import re
import signal
import socket

import gevent
import pytest

import jsp
from jsp.cli.common import KNOWN_PROTOCOLS
from tests.cli.support import free_port, interrupts, jsp_program, run_here
from tests.net.support import IDENTITY, LOOPBACK, serving


def quiet(connection: jsp.Connection) -> None:
    """A server that has nothing to say."""
    connection.wait_closed()


@pytest.mark.parametrize("protocol", KNOWN_PROTOCOLS)
def test_any_server_answers(protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(quiet, config=jsp.Config(protocols=(protocol,))) as server:
        assert run_here("ping", "-c", "2", "-i", "0.01", server.url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"PING {server.url}: {protocol}, x25519mlkem768, " + lines[0].rsplit(" ", 1)[1]
    assert [re.sub(r"[\d.]+ ms", "T ms", line) for line in lines[1:3]] == ["seq=1 time=T ms", "seq=2 time=T ms"]
    assert lines[3:5] == [f"--- {server.url} ---", "2 sent, 2 answered, 0% lost"]
    numbers = re.fullmatch(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms", lines[5])
    assert numbers is not None
    least, mean, most, deviation = map(float, numbers.groups())
    assert 0 < least <= mean <= most < 5000
    assert deviation <= most - least


def test_json_has_every_time_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(quiet, trust=jsp.Trust.access_key(bytes(16))) as server:
        assert run_here("ping", "--json", "-c", "3", "-i", "0.01", server.url) == 0
    document = json.loads(capsys.readouterr().out)
    assert ":" + "a" * 26 + "@" in server.url
    assert document["address"] == server.url.replace(":" + "a" * 26, "")
    assert document["peer"] == str(IDENTITY.peer_id)
    assert (document["sent"], document["answered"], document["lost_percent"]) == (3, 3, 0)
    assert len(document["times_ms"]) == 3
    assert document["rtt_ms"]["min"] == min(document["times_ms"])
    assert document["rtt_ms"]["max"] == max(document["times_ms"])


def test_interval_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(quiet) as server, gevent.Timeout(10):
        before = gevent.get_hub().loop.now()
        assert run_here("ping", "-c", "4", "-i", "0.1", server.url) == 0
        gevent.get_hub().loop.update_now()
        assert gevent.get_hub().loop.now() - before > 0.3


def test_without_access_key_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(quiet, trust=jsp.Trust.access_key(bytes(16))) as server:
        port = server.address[1]
        assert run_here("ping", "-c", "1", f"{IDENTITY.peer_id}@127.0.0.1:{port}") == 1
        assert run_here("ping", "-c", "1", f"{IDENTITY.peer_id}:{'b' * 25}a@127.0.0.1:{port}") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 2
    assert output.err.count("access key") == 2


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"{IDENTITY.peer_id}@127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    assert run_here("ping", "-c", "1", address) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "nobody listens there" in output.err
    assert output.err.count("\n") == 1


def test_server_that_never_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(LOOPBACK)
        address = f"{IDENTITY.peer_id}@127.0.0.1:{silent.getsockname()[1]}"
        assert run_here("ping", "-c", "1", "--timeout", "0.3", address) == 1
    assert "did not answer in time" in capsys.readouterr().err


def test_server_that_goes_away_ends_it_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(quiet) as server:
        gevent.spawn_later(0.3, server.stop)
        assert run_here("ping", "-i", "0.05", server.url) == 1
    output = capsys.readouterr()
    assert "rtt min/avg/max/mdev" in output.out
    assert "the server stops" in output.err
    assert output.err.count("\n") == 1


@interrupts
def test_interrupt_is_how_it_ends() -> None:
    with (
        jsp_program("perf", "server", "--listen", "127.0.0.1:0") as server,
        jsp_program("ping", server.line(), "-i", "0.02") as ping,
    ):
        for _ in range(3):
            ping.line()
        assert ping.stop(signal.SIGINT) == 0
        assert ping.process.stdout is not None
        assert "rtt min/avg/max/mdev" in ping.process.stdout.read()
        assert ping.errors() == ""

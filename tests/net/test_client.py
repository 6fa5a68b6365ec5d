"""`connect`: who may answer, and what people are told when nobody does."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest
from gevent import get_hub, socket

import jsp
from jsp.crypto import suites
from jsp.crypto.credentials import Credentials
from jsp.crypto.provider import chosen
from jsp.net import client, endpoint
from jsp.net.udp import AF_INET, UdpSocket
from jsp.recovery.destinations import RTT_MIN_S
from jsp.recovery.rtt import INITIAL_RTT_S
from tests.net.support import IDENTITY, OTHER, Echo, leftovers, serving, until


def test_address_with_a_peer_id_pins_it() -> None:
    with serving() as server:
        with jsp.connect(server.url) as conn:
            assert conn.peer == IDENTITY.peer_id
        wrong = str(jsp.Address("127.0.0.1", server.address[1], OTHER.peer_id.digest))
        with pytest.raises(jsp.UnknownPeer, match=str(IDENTITY.peer_id)):
            jsp.connect(wrong)


def test_a_second_connection_begins_with_the_round_trip_of_the_first() -> None:
    endpoint._kept.pop(get_hub(), None)  # what earlier tests have learnt
    with serving() as server:
        kept = endpoint._working_space(get_hub())[2]
        with jsp.connect(server.url) as conn:
            assert not len(kept)
        # The client's, and the server's: it knows its peers by the address that they come from.
        until(lambda: len(kept) == 2)
        with jsp.connect(server.url) as conn:
            assert conn.core.paths[0].source == "127.0.0.1"
        begun = endpoint.Endpoint(UdpSocket(("", 0), AF_INET), jsp.Config())
        guess = begun.connect(server.address, Credentials()).core.paths[0].recovery.rtt.smoothed
        begun.close()
        assert guess == RTT_MIN_S < INITIAL_RTT_S


def test_bare_address_wants_a_trust() -> None:
    with pytest.raises(jsp.LocalError, match=r"Trust\.known_peers"):
        jsp.connect("127.0.0.1:4433")
    with serving() as server:
        bare = ("127.0.0.1", server.address[1])
        for trust in (jsp.Trust.anyone(), jsp.Trust.pinned(IDENTITY.peer_id), jsp.Trust.pinned(str(IDENTITY.peer_id))):
            jsp.connect(bare, trust=trust).close()


def test_address_and_trust_must_agree() -> None:
    with serving() as server, pytest.raises(jsp.UnknownPeer):
        jsp.connect(server.url, trust=jsp.Trust.pinned(OTHER.peer_id))


def test_nobody_listens() -> None:
    begin = time.monotonic()
    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        jsp.connect(("127.0.0.1", 9), trust=jsp.Trust.anyone())
    assert time.monotonic() - begin < 2


def test_silence_is_a_timeout_in_time() -> None:
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    begin = time.monotonic()
    with pytest.raises(jsp.ConnectTimeout) as caught:
        jsp.connect(silent.getsockname(), trust=jsp.Trust.anyone(), timeout=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, OSError)
    assert 0.25 < time.monotonic() - begin < 2
    silent.close()


def test_no_time_is_a_timeout() -> None:
    with serving() as server:
        for timeout in (0, -1):
            with pytest.raises(TimeoutError, match="no time"):
                jsp.connect(server.url, timeout=timeout)


@pytest.mark.parametrize("port", [0, 65536, -1, "http"])
def test_port_that_is_none(port: object) -> None:
    with pytest.raises(jsp.LocalError, match="port"):
        jsp.connect(("127.0.0.1", port), trust=jsp.Trust.anyone())  # type: ignore[arg-type]
    with pytest.raises(jsp.LocalError, match="port"):
        jsp.connect(jsp.Address("127.0.0.1", port), trust=jsp.Trust.anyone())  # type: ignore[arg-type]


@pytest.mark.parametrize("bind_port", [False, True])
def test_silent_address_does_not_use_up_the_time(monkeypatch: pytest.MonkeyPatch, bind_port: bool) -> None:
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        closed, free = one.getsockname(), two.getsockname()
    gevent.sleep(0.1)
    before = leftovers()
    with serving() as server:
        places = [(2, silent.getsockname()), (2, closed), (2, server.address)]
        monkeypatch.setattr(client, "_resolve", lambda *_: places)
        begin = time.monotonic()
        conn = jsp.connect(("name", 1), trust=jsp.Trust.anyone(), timeout=3, bind=free if bind_port else None)
        assert time.monotonic() - begin < (2.5 if bind_port else 1.5)
        conn.ping()
        conn.close()
        places.pop()
        with pytest.raises(jsp.ConnectRefused):
            jsp.connect(("name", 1), trust=jsp.Trust.anyone(), timeout=0.5)
        places[:] = [(2, server.address), (2, silent.getsockname())]
        with pytest.raises(jsp.UnknownPeer):
            jsp.connect(("name", 1), trust=jsp.Trust.pinned(OTHER.peer_id), timeout=0.5)
    until(lambda: leftovers() <= before)
    silent.close()


def test_server_that_stops_half_way() -> None:
    # Takes the first datagrams and says nothing sensible.
    rude = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    rude.bind(("127.0.0.1", 0))

    def babble() -> None:
        while True:
            data, address = rude.recvfrom(2000)
            rude.sendto(data[::-1], address)
            rude.sendto(data[:100], address)
            rude.sendto(data, address)

    babbler = gevent.spawn(babble)
    with pytest.raises(jsp.ConnectTimeout):
        jsp.connect(rude.getsockname(), trust=jsp.Trust.anyone(), timeout=0.5)
    babbler.kill()
    rude.close()


def test_unknown_name() -> None:
    with pytest.raises(OSError, match=r"no-such-host\.invalid"):
        jsp.connect("no-such-host.invalid:1", trust=jsp.Trust.anyone(), timeout=5)


def test_access_key_in_the_address() -> None:
    trust = jsp.Trust.access_key(b"0123456789abcdef")
    with serving(trust=trust) as server:
        assert ":" in server.url.split("@")[0]
        jsp.connect(server.url).close()
        without = server.url.split(":")[0] + "@" + server.url.split("@")[1]
        with pytest.raises(jsp.AccessDenied, match="access key") as caught:
            jsp.connect(without)
        assert isinstance(caught.value, PermissionError)
        key = jsp.Address("127.0.0.1", server.address[1], IDENTITY.peer_id.digest, bytes(16))
        with pytest.raises(jsp.AccessDenied):
            jsp.connect(key)


def test_server_knows_who_calls() -> None:
    seen: list[object] = []

    class Look(jsp.Handler):
        def setup(self) -> None:
            seen.append(self.peer)

    with serving(Look) as server:
        jsp.connect(server.url).close()
        jsp.connect(server.url, identity=OTHER).close()
    assert seen == [None, OTHER.peer_id]


def test_server_that_takes_only_known_peers() -> None:
    with serving(trust=jsp.Trust.pinned(OTHER.peer_id)) as server:
        jsp.connect(server.url, identity=OTHER).close()
        with pytest.raises(jsp.AccessDenied, match="identity"):
            jsp.connect(server.url)
        with pytest.raises(jsp.AccessDenied, match="peer id"):
            jsp.connect(server.url, identity=jsp.Identity.generate())


def test_no_protocol_in_common() -> None:
    with (
        serving(config=jsp.Config(protocols=("chat/1",))) as server,
        pytest.raises(jsp.ConnectFailed, match="application protocol"),
    ):
        jsp.connect(server.url)


def test_protocol_is_settled() -> None:
    with serving(config=jsp.Config(protocols=("b", "a"))) as server:
        conn = jsp.connect(server.url, config=jsp.Config(protocols=("x", "a", "b")))
        assert conn.negotiated["protocol"] == "a"
        conn.close()


@pytest.mark.parametrize("cipher", ["chacha20-poly1305", "aes-256-gcm"])
@pytest.mark.parametrize("group", ["x25519mlkem768", "x25519mlkem1024"])
def test_every_cipher_and_group(cipher: str, group: str) -> None:
    config = jsp.Config(ciphers=cipher, groups=(group,))
    with serving(config=config) as server, jsp.connect(server.url, config=config) as conn:
        assert (conn.negotiated["cipher"], conn.negotiated["kem"]) == (cipher, group)


@pytest.mark.parametrize(
    ("ours", "theirs", "cipher"),
    [
        (True, True, "aes-256-gcm"),
        (True, False, "chacha20-poly1305"),
        (False, True, "chacha20-poly1305"),
        (False, False, "chacha20-poly1305"),
    ],
)
def test_the_cipher_without_a_wish_is_what_both_processors_do_best(
    ours: bool, theirs: bool, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jsp.Config().ciphers == "auto"
    monkeypatch.setattr(suites, "has_aes_hardware", lambda: theirs)
    with serving() as server:
        monkeypatch.setattr(suites, "has_aes_hardware", lambda: ours)
        with jsp.connect(server.url) as conn:
            assert conn.negotiated["cipher"] == cipher


@pytest.mark.parametrize("hardware", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs", "cipher"),
    [
        (("aes-256-gcm",), "auto", "aes-256-gcm"),
        ("auto", ("aes-256-gcm",), "aes-256-gcm"),
        (("chacha20-poly1305",), "auto", "chacha20-poly1305"),
        ("auto", ("chacha20-poly1305",), "chacha20-poly1305"),
        (("aes-256-gcm", "chacha20-poly1305"), ("aes-256-gcm", "chacha20-poly1305"), "aes-256-gcm"),
        (("chacha20-poly1305", "aes-256-gcm"), ("chacha20-poly1305", "aes-256-gcm"), "chacha20-poly1305"),
    ],
)
def test_names_fix_the_cipher_whatever_the_processor(
    ours: Any, theirs: Any, cipher: str, hardware: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "has_aes_hardware", lambda: hardware)
    client_config = jsp.Config(ciphers=ours)
    with serving(config=jsp.Config(ciphers=theirs)) as server, jsp.connect(server.url, config=client_config) as conn:
        assert conn.negotiated["cipher"] == cipher


def test_no_cipher_in_common() -> None:
    with serving(config=jsp.Config(ciphers="aes-256-gcm")) as server, pytest.raises(jsp.ConnectFailed, match="cipher"):
        jsp.connect(server.url, config=jsp.Config(ciphers="chacha20-poly1305"))


def test_what_seals_the_packets_is_told() -> None:
    with serving() as server, jsp.connect(server.url) as conn:
        assert conn.negotiated["provider"] == chosen().name


def test_group_the_server_has_not_costs_a_round_trip_and_works() -> None:
    with serving(config=jsp.Config(groups=("x25519mlkem768",))) as server:
        conn = jsp.connect(server.url, config=jsp.Config(groups=("x25519mlkem1024", "x25519mlkem768")))
        assert conn.negotiated["kem"] == "x25519mlkem768"
        conn.close()


def test_classical_exchange_only_when_both_say_so() -> None:
    with pytest.raises(jsp.LocalError, match="require_pq"):
        jsp.Config(groups=("x25519",))
    weak = jsp.Config(groups=("x25519",), require_pq=False)
    with serving() as server, pytest.raises(jsp.ConnectFailed):
        jsp.connect(server.url, config=weak)


def test_failed_attempts_leave_nothing() -> None:
    gevent.sleep(0.1)
    before = leftovers()
    with serving(Echo) as server:
        for _ in range(5):
            with pytest.raises(jsp.UnknownPeer):
                jsp.connect(("127.0.0.1", server.address[1]), trust=jsp.Trust.pinned(OTHER.peer_id))
        until(lambda: not server.connections(), 10)
    until(lambda: leftovers() <= before)


def test_ipv6() -> None:
    server = jsp.Server(("::1", 0), Echo, identity=IDENTITY)
    server.start()
    try:
        assert "[::1]:" in server.url
        with jsp.connect(server.url) as conn:
            conn.send(b"six")
            assert conn.recv(timeout=2).data == b"six"
    finally:
        server.stop()


def test_wildcard_server_prints_a_reachable_address() -> None:
    server = jsp.Server(("0.0.0.0", 0), Echo, identity=IDENTITY)
    server.start()
    try:
        assert "@0.0.0.0" not in server.url
        jsp.connect(server.url, timeout=3).close()
    finally:
        server.stop()


def test_what_the_peer_says_cannot_move_the_cursor_of_a_terminal() -> None:
    words = "\x1b]0;pwned\x07\n\u202e\x1b[2Jbye, \u00e9"

    class Rude(jsp.Handler):
        def setup(self) -> None:
            self.conn.abort(1, words)

    with serving(Rude) as server, pytest.raises(jsp.ConnectionClosed) as caught:
        jsp.connect(server.url).recv(timeout=5)
    assert caught.value.reason == words
    assert str(caught.value).endswith(r": \x1b]0;pwned\x07\n\u202e\x1b[2Jbye, " + "\u00e9")
    assert str(caught.value).isprintable()

"""TLS around a carrier's bytes: TLS 1.3 of nobody in particular, in pieces of any size."""

from __future__ import annotations

import ssl

import pytest

from jsp.net.tls import Tls, client_context, server_context

SERVER = server_context()


def pair() -> tuple[Tls, Tls, bytes]:
    """Both sides, and the client's first bytes."""
    client, server = Tls(client_context(), "example.com"), Tls(SERVER)
    return client, server, client.begin()


def test_what_is_sent_early_comes_when_hands_are_shaken() -> None:
    client, server, hello = pair()
    assert client.seal(b"early") == b"" and not client.up
    plain, answer = server.open(hello)
    assert plain == b"" and not server.up
    plain, finished = client.open(answer)
    assert plain == b"" and client.up
    assert server.open(finished)[0] == b"early" and server.up
    assert client.open(server.seal(b"x" * 50_000))[0] == b"x" * 50_000


def test_byte_by_byte() -> None:
    client, server, hello = pair()
    answer = b"".join(server.open(hello[i : i + 1])[1] for i in range(len(hello)))
    finished = b"".join(client.open(answer[i : i + 1])[1] for i in range(len(answer)))
    sealed = finished + client.seal(b"data")
    assert b"".join(server.open(sealed[i : i + 1])[0] for i in range(len(sealed))) == b"data"


def test_the_name_and_the_protocol_are_what_firewalls_expect() -> None:
    _, _, hello = pair()
    assert b"example.com" in hello and b"http/1.1" in hello


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(100)])
def test_what_is_no_tls_is_an_error(data: bytes) -> None:
    with pytest.raises(ssl.SSLError):
        Tls(SERVER).open(data)


def test_older_versions_are_refused() -> None:
    old = client_context()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Tls(SERVER).open(Tls(old).begin())

"""Addresses and peer ids as people paste them: right, mistyped, and malicious."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import AddressError
from jsp.wire.address import (
    Address,
    encode_access_key,
    encode_peer_id,
    parse_access_key,
    parse_address,
    parse_peer_id,
)
from tests.profiles import examples

DIGEST = bytes(range(32))
KEY = bytes(range(200, 216))
ID = encode_peer_id(DIGEST)
KEY_TEXT = encode_access_key(KEY)

ADDRESSES: list[tuple[str, Address]] = [
    ("example.org:4433", Address("example.org", 4433)),
    ("192.0.2.1:0", Address("192.0.2.1", 0)),
    ("[2001:db8::1]:65535", Address("2001:db8::1", 65535)),
    ("[fe80::1%eth0]:1", Address("fe80::1%eth0", 1)),
    (":4433", Address("", 4433)),
    ("jsp1.example.org:443", Address("jsp1.example.org", 443)),
    ("jsp1:443", Address("jsp1", 443)),
    ("host:1/", Address("host", 1)),
    ("host:1/a/b?c@d:e", Address("host", 1, path="a/b?c@d:e")),
    (f"{ID}@host:1", Address("host", 1, DIGEST)),
    (f"{ID}:{KEY_TEXT}@[::1]:2/dir", Address("::1", 2, DIGEST, KEY, "dir")),
    (f"host:1/{ID}@other:2", Address("host", 1, path=f"{ID}@other:2")),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES, ids=[text for text, _ in ADDRESSES])
def test_address_both_ways(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address
    assert parse_address(f"  {text.rstrip('/')}\n") == address


def test_an_address_is_written_in_one_way() -> None:
    assert ID == "jsp1aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypshmy"
    assert str(parse_address(f"{ID.upper()}:{KEY_TEXT.upper()}@host:0443")) == f"{ID}:{KEY_TEXT}@host:443"


REFUSED = [
    "",
    "host",
    "host:",
    "host:port",
    "host:-1",
    "host:+1",
    "host:65536",
    "host:123456",
    "host:1:2",
    "::1:80",
    "[::1]",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[::1]x:80",
    "[a b]:80",
    "two words:80",
    "user@host:80",
    "@host:80",
    "host@:80",
    ID,
    f"{ID}:{KEY_TEXT}",
    f"{ID}@",
    f"{ID}@host",
    f"{ID}@host@host:80",
    f"{ID}:@host:80",
    f"{ID}:{KEY_TEXT}:{KEY_TEXT}@host:80",
    f"{ID[:-1]}@host:80",
    f"{ID}a@host:80",
    f"jsp2{ID[4:]}@host:80",
    f"{ID}/path",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.parametrize("letter", ["0", "1", "8", "9", "=", "-", " ", "é", "\u212a", "\u017f", "ß", "\x00", "😀"])
def test_letters_that_base32_has_not_are_refused(letter: str) -> None:
    for at in (4, 30, len(ID) - 1):
        with pytest.raises(AddressError):
            parse_peer_id(ID[:at] + letter + ID[at + 1 :])
    for at in (0, 13, 25):
        with pytest.raises(AddressError):
            parse_access_key(KEY_TEXT[:at] + letter + KEY_TEXT[at + 1 :])


def test_digits_of_other_scripts_are_no_port() -> None:
    with pytest.raises(AddressError):
        parse_address("host:٤٤٣")


def test_a_zone_may_have_a_hyphen() -> None:
    assert parse_address("[fe80::1%br-lan]:80").host == "fe80::1%br-lan"


def test_every_mistyped_letter_of_a_peer_id_is_noticed() -> None:
    for at in range(4, len(ID)):
        for letter in "abcdefghijklmnopqrstuvwxyz234567":
            if letter != ID[at]:
                with pytest.raises(AddressError):
                    parse_peer_id(ID[:at] + letter + ID[at + 1 :])


def test_swapped_neighbours_in_a_peer_id_are_noticed() -> None:
    for at in range(4, len(ID) - 1):
        swapped = ID[:at] + ID[at + 1] + ID[at] + ID[at + 2 :]
        if swapped != ID:
            with pytest.raises(AddressError):
                parse_peer_id(swapped)


def test_spare_bits_of_an_access_key_must_be_zero() -> None:
    last = KEY_TEXT[-1]
    spellings = [letter for letter in "abcdefghijklmnopqrstuvwxyz234567" if letter != last]
    for letter in spellings:
        text = KEY_TEXT[:-1] + letter
        try:
            assert encode_access_key(parse_access_key(text)) == text
        except AddressError:
            continue
    with pytest.raises(AddressError):
        parse_access_key("a" * 25 + "b")


def test_a_port_out_of_range_and_a_key_of_the_wrong_size_are_named() -> None:
    with pytest.raises(AddressError, match="port 70000"):
        parse_address("host:70000")
    with pytest.raises(AddressError, match="26 characters"):
        parse_address(f"{ID}:short@host:80")
    with pytest.raises(AddressError, match="who but not where"):
        parse_address(ID)
    with pytest.raises(AddressError, match="59 characters; this one has 58"):
        parse_peer_id(ID[:-1])
    with pytest.raises(AddressError, match="starts with 'jsp1'"):
        parse_peer_id("alice")
    with pytest.raises(AddressError, match="check sum"):
        parse_peer_id(encode_peer_id(DIGEST)[:-1] + ("a" if ID[-1] != "a" else "q"))


def test_an_access_key_does_not_show_in_a_log() -> None:
    address = Address("host", 1, DIGEST, KEY)
    assert KEY_TEXT not in repr(address)
    assert repr(KEY)[2:-1] not in repr(address)
    assert "access key" in repr(address)
    assert KEY_TEXT in str(address)


def test_errors_do_not_quote_an_access_key() -> None:
    for text in (f"{ID}:{KEY_TEXT}@nowhere", f"{ID}:{KEY_TEXT}", f"{ID[:-1]}q:{KEY_TEXT}@host:1"):
        with pytest.raises(AddressError) as caught:
            parse_address(text)
        assert KEY_TEXT not in str(caught.value)


HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True) | st.ip_addresses().map(str)
PATHS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda p: p == p.strip())


@examples(100)
@given(HOSTS, st.integers(0, 65535), st.none() | st.binary(min_size=32, max_size=32), st.data(), PATHS)
def test_round_trip(host: str, port: int, peer_id: bytes | None, data: st.DataObject, path: str) -> None:
    key = data.draw(st.none() | st.binary(min_size=16, max_size=16)) if peer_id is not None else None
    address = Address(host, port, peer_id, key, path)
    assert parse_address(str(address)) == address


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_ids_and_keys_round_trip(digest: bytes, key: bytes) -> None:
    assert parse_peer_id(encode_peer_id(digest)) == digest
    assert parse_peer_id(f" {encode_peer_id(digest).upper()} ") == digest
    assert parse_access_key(encode_access_key(key)) == key
    assert len(encode_peer_id(digest)) == 59
    assert len(encode_access_key(key)) == 26


ANY_TEXT = st.text(max_size=80) | st.tuples(
    st.sampled_from([text for text, _ in ADDRESSES]), st.integers(0, 100), st.text(max_size=20), st.integers(0, 3)
).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + t[3] :])


@examples(400)
@given(ANY_TEXT)
def test_any_text_is_an_address_in_one_spelling_or_an_address_error(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert 0 <= address.port <= 65535
    assert parse_address(str(address)) == address


@examples(200)
@given(st.text(min_size=55, max_size=55) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=55, max_size=55))
def test_any_text_is_a_peer_id_or_an_address_error(text: str) -> None:
    try:
        digest = parse_peer_id("jsp1" + text)
    except AddressError:
        return
    assert encode_peer_id(digest) == "jsp1" + text.lower()


@given(st.text(min_size=20, max_size=30) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26))
def test_any_text_is_an_access_key_or_an_address_error(text: str) -> None:
    try:
        key = parse_access_key(text)
    except AddressError:
        return
    assert encode_access_key(key) == text.strip().lower()

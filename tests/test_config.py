"""The configuration refuses what cannot work, with a sentence."""

from __future__ import annotations

import dataclasses

import pytest

import jsp
from jsp.config import LIMITS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ciphers", "rot13"),
        ("ciphers", ()),
        ("groups", ("kyber",)),
        ("groups", ()),
        ("congestion", "magic"),
        ("max_datagram_size", 1199),
        ("max_datagram_size", 65_508),
        ("receive_window", 1000),
        ("stream_window", 1),
        ("stream_window_max", 1000),
        ("max_message", 0),
        ("max_message", 1 << 40),
        ("send_buffer", 0),
        ("max_streams", -1),
        ("idle_timeout", 0),
        ("keep_alive", -1.0),
        ("handshake_timeout", 0),
        ("handshake_timeout", None),
        ("close_timeout", None),
        ("max_ack_delay", 5.0),
        ("spin", -1e-6),
        ("spin", 0.01),
        ("connection_id_size", 3),
        ("connection_id_size", 21),
        ("protocols", ()),
        ("protocols", ("",)),
        ("protocols", ("ü/1",)),
    ],
)
def test_bad_value_is_named(field: str, value: object) -> None:
    with pytest.raises(jsp.LocalError, match=field):
        jsp.Config(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["idle_timeout", "keep_alive", "rate_limit"])
def test_what_may_be_left_out(field: str) -> None:
    assert getattr(jsp.Config(**{field: None}), field) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0, 13])
def test_bad_level_of_compression_is_named(level: int) -> None:
    with pytest.raises(jsp.LocalError, match="level"):
        jsp.Compression(level=level)


def test_compression_offers_its_dictionary_by_a_hash_and_takes_a_byte_of_each_message() -> None:
    assert jsp.Compression().offer == b"\x01"
    assert len(jsp.Compression(dictionary=b"x").offer) == 9
    assert jsp.Compression(dictionary=b"x").offer != jsp.Compression(dictionary=b"y").offer
    config = jsp.Config(max_message=1000)
    assert config.message_limit == 1000
    assert dataclasses.replace(config, compression=jsp.Compression()).message_limit == 1001
    with pytest.raises(jsp.LocalError, match="max_message"):
        jsp.Config(receive_window=1 << 20, max_message=(1 << 20) - 64, compression=jsp.Compression())


def test_configuration_is_frozen_and_can_be_varied() -> None:
    config = jsp.Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_streams = 5  # type: ignore[misc]
    assert dataclasses.replace(config, max_streams=5).max_streams == 5


def test_every_field_and_limit_says_what_it_is() -> None:
    import ast
    import inspect

    import jsp.config

    tree = ast.parse(inspect.getsource(jsp.config))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            body = node.body[1:]
            for field, follower in zip(body, [*body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(follower, ast.Expr), ast.unparse(field)
    assert LIMITS.fragments > 0

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

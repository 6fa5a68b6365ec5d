"""Errors of calls: what they are, and what is left of an exception on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

import jsp
import jsp.rpc
from jsp.rpc.errors import (
    NAME_MAX,
    TEXT_MAX,
    TRACEBACK_MAX,
    BadFrame,
    ErrorCode,
    RemoteError,
    RpcError,
    fields_of,
    parse_error,
    words_of,
)
from tests.rpc.values import VALUES


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("code", "kind", "also"),
    [
        (ErrorCode.UNKNOWN_METHOD, jsp.rpc.UnknownMethod, LookupError),
        (ErrorCode.BAD_ARGUMENTS, jsp.rpc.BadArguments, TypeError),
        (ErrorCode.WRONG_CALL, jsp.rpc.WrongCall, TypeError),
        (ErrorCode.UNSERIALISABLE, jsp.rpc.Unserialisable, TypeError),
        (ErrorCode.TOO_LARGE, jsp.rpc.TooLarge, jsp.MessageTooLarge),
        (ErrorCode.CANCELLED, jsp.rpc.Cancelled, RpcError),
    ],
)
def test_each_code_has_its_class(code: ErrorCode, kind: type[RpcError], also: type[Exception]) -> None:
    error = parse_error([int(code), code.name, "words", None])
    assert type(error) is kind and isinstance(error, also) and isinstance(error, jsp.Error)
    assert str(error) == "words"


def test_an_exception_keeps_name_words_and_perhaps_traceback() -> None:
    error = raised(KeyError("there"))
    remote = parse_error(list(fields_of(error, with_traceback=True)))
    assert isinstance(remote, RemoteError)
    assert (remote.name, remote.message, str(remote)) == ("KeyError", "'there'", "KeyError: 'there'")
    assert remote.traceback is not None and "raise error" in remote.traceback
    assert fields_of(error, with_traceback=False)[3] is None
    assert str(parse_error(list(fields_of(ValueError(), with_traceback=False)))) == "ValueError"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_words_fit_and_can_be_sent() -> None:
    assert len(words_of(ValueError("x" * 100_000))) == TEXT_MAX
    assert words_of(ValueError("a\ud800b")) == "a\\ud800b"
    assert "cannot be printed" in words_of(Unprintable())
    deep = raised(ValueError("x" * 100_000))
    assert len(fields_of(deep, with_traceback=True)[3] or "") == TRACEBACK_MAX


def test_a_server_cannot_say_more_than_that() -> None:
    error = parse_error([1, "n" * 100_000, "w" * 100_000, "t" * 100_000])
    assert isinstance(error, RemoteError)
    assert len(str(error)) == NAME_MAX + 2 + TEXT_MAX and len(error.traceback or "") == TRACEBACK_MAX
    assert len(str(parse_error([2, "", "w" * 100_000, None]))) == TEXT_MAX


def test_a_code_of_a_later_version_is_still_an_error() -> None:
    error = parse_error([99, "Odd", "words", None])
    assert isinstance(error, RemoteError) and error.name == "Odd"


@pytest.mark.parametrize(
    "value", [None, [], [1, "a", "b"], ["1", "a", "b", None], [1, 2, "b", None], [1, "a", b"", None], [1, "a", "b", 5]]
)
def test_malformed_errors(value: Any) -> None:
    with pytest.raises(BadFrame):
        parse_error(value)


@given(VALUES)
def test_any_value_is_an_error_or_a_declared_one(value: Any) -> None:
    try:
        assert isinstance(parse_error(value), RpcError)
    except BadFrame:
        pass

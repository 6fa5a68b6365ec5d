"""Errors are what socket code expects them to be."""

from __future__ import annotations

import errno
import pickle

import pytest

import jsp
from jsp import errors


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (jsp.Timeout("x"), (TimeoutError, OSError)),
        (jsp.ConnectionClosed("x"), (ConnectionError, OSError)),
        (jsp.ConnectionLost("x"), (jsp.ConnectionClosed, TimeoutError)),
        (jsp.ConnectTimeout("x"), (jsp.ConnectFailed, TimeoutError)),
        (jsp.ConnectRefused("x"), (jsp.ConnectFailed, ConnectionRefusedError)),
        (jsp.AccessDenied("x"), (jsp.ConnectFailed, PermissionError)),
        (jsp.UnknownPeer("x"), (jsp.ConnectFailed, PermissionError)),
        (jsp.StreamReset("x", 5), (ConnectionResetError,)),
        (jsp.StreamStopped("x"), (BrokenPipeError,)),
        (jsp.StreamClosed("x"), (OSError,)),
        (jsp.MessageTooLarge("x"), (OSError,)),
        (jsp.AddressError("x"), (ValueError,)),
        (jsp.IdentityError("x"), (ValueError,)),
    ],
)
def test_error_is_one_of_ours_and_one_of_the_standard_ones(error: Exception, bases: tuple[type, ...]) -> None:
    assert isinstance(error, jsp.Error)
    assert isinstance(error, bases[0])
    for base in bases:
        assert isinstance(error, base)
    assert str(error) == "x"
    if isinstance(error, OSError):
        assert error.errno
        assert error.errno in errno.errorcode


def test_codes_have_names() -> None:
    assert errors.code_name(0x12) == "EXCESSIVE_LOAD"
    assert errors.code_name(0x999) == "code 0x999"
    assert len({int(c) for c in errors.Code}) == len(errors.Code)


def test_violation_tells_code_and_reason() -> None:
    violation = errors.ProtocolViolation(errors.Code.DECODE, "trailing bytes")
    assert (violation.code, violation.reason) == (0x21, "trailing bytes")
    assert str(violation) == "DECODE: trailing bytes"


def test_identities_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="save"):
        pickle.dumps(jsp.Identity.generate())

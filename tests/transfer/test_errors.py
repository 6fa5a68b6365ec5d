"""Errors of a transfer: who catches which, and whom they pass by."""

from __future__ import annotations

import pickle

import pytest

import jsp
import jsp.transfer
from jsp.transfer import errors

KINDS = [errors.TransferError, errors.BadFrame, errors.DiskFull, errors.PeerGaveUp]


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_catches_transfer_errors_or_those_of_the_library_gets_it(kind: type[errors.TransferError]) -> None:
    for caught in (errors.TransferError, jsp.Error):
        with pytest.raises(caught, match=r"^words$"):
            raise kind("words")


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_an_error_of_the_disk_or_of_the_caller(kind: type[errors.TransferError]) -> None:
    # Single files fail with OSError, and then the rest goes on: these must not be taken for one.
    assert not issubclass(kind, OSError | ValueError)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_each_kind_can_be_told_from_the_others(kind: type[errors.TransferError]) -> None:
    assert [other for other in KINDS if issubclass(kind, other)] == [errors.TransferError, kind]


@pytest.mark.parametrize("kind", KINDS)
def test_applications_find_them_under_the_package(kind: type[errors.TransferError]) -> None:
    assert getattr(jsp.transfer, kind.__name__) is kind
    assert kind.__name__ in jsp.transfer.__all__


@pytest.mark.parametrize("kind", KINDS)
def test_they_survive_the_way_to_another_process(kind: type[errors.TransferError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("words")))
    assert type(copy) is kind and str(copy) == "words"

"""What a service offers, and what it does not."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import jsp
import jsp.rpc
from jsp.rpc.service import Method, as_service


def test_functions_by_name() -> None:
    service = jsp.rpc.Service()

    @service.method
    def add(a: int, b: int = 2) -> int:
        """Adds.

        At length.
        """
        return a + b

    @service.method(name="log.tail")
    def tail(path: str) -> Iterator[str]:
        yield path

    service.method(name="root")(math.sqrt)
    assert add(1) == 3
    listed = {info.name: info for info in service.methods()}
    assert list(listed) == ["add", "log.tail", "root"]
    assert listed["add"] == jsp.rpc.MethodInfo("add", "(a: 'int', b: 'int' = 2) -> 'int'", "Adds.\n\nAt length.", False)
    assert listed["log.tail"].streams
    found = service.find("add")
    assert found is not None and found.function is add
    assert service.find("__class__") is None and service.find("") is None


@pytest.mark.parametrize("name", ["", "jsp.own", 5])
def test_names_that_cannot_be(name: Any) -> None:
    with pytest.raises(jsp.LocalError):
        jsp.rpc.Service().method(name=name)(print)


def test_a_name_is_given_once() -> None:
    service = jsp.rpc.Service()
    service.method(name="a")(print)
    with pytest.raises(jsp.LocalError, match="two methods"):
        service.method(name="a")(len)


class Base:
    @jsp.rpc.method
    def inherited(self) -> str:
        return type(self).__name__

    @jsp.rpc.method
    def replaced(self) -> str:
        return "base"


class Calculator(Base):
    def __init__(self) -> None:
        self.memory = 0

    @jsp.rpc.method
    def store(self, value: int) -> int:
        self.memory += value
        return self.memory

    @jsp.rpc.method(name="memory.clear")
    def clear(self) -> None:
        self.memory = 0

    @staticmethod
    @jsp.rpc.method
    def static() -> int:
        return 1

    def replaced(self) -> str:
        return "not offered"

    def hidden(self) -> None: ...

    @property
    def trap(self) -> None:
        raise AssertionError("looking for methods must not run properties")


def test_objects_and_classes() -> None:
    calculator = Calculator()
    service = as_service(calculator)
    assert [info.name for info in service.methods()] == ["inherited", "memory.clear", "static", "store"]
    store = service.find("store")
    assert store is not None
    store.function(5)
    assert calculator.memory == 5
    assert store.info.signature == "(value: 'int') -> 'int'"
    of_class = as_service(Calculator)
    assert [info.name for info in of_class.methods()] == [info.name for info in service.methods()]
    assert as_service(service) is service


@pytest.mark.parametrize("thing", [object(), object, 5, None, "module:service"])
def test_what_offers_nothing_is_not_served(thing: Any) -> None:
    with pytest.raises(jsp.LocalError, match="offers no methods"):
        as_service(thing)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def test_decorated_functions_are_what_they_wrap() -> None:
    def items(n: int) -> Iterator[int]:
        yield n

    method = Method("items", decorated(items))
    assert method.streams
    assert method.info.signature == "(n: 'int') -> 'Iterator[int]'"
    assert method.mismatch([], {}) and not method.mismatch([1], {})


def test_builtins_without_a_signature() -> None:
    method = Method("m", type("Odd", (), {"__signature__": 5, "__call__": lambda self: None})())
    assert method.info.signature == "(...)"
    assert method.mismatch([1, 2, 3], {}) == ""

"""What a server offers: methods by name.

Only what was named with a decorator can be called, and names are looked up in a table, never as attributes: a client
reaches no more than its author meant it to. Names that begin with `jsp.` are the library's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from jsp.errors import LocalError

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__jsp_rpc_name__"
_OWN = "jsp."

# The library's own methods: what there is, and a value sent back, for measuring.
METHODS = "jsp.methods"
ECHO = "jsp.echo"


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A method as clients see it.

    Attributes:
        name: what it is called by.
        signature: its parameters and result, as in Python source; "(...)" when that is not known.
        doc: its docstring.
        streams: whether it gives items one by one: `client.stream`, not `client.call`.
    """

    name: str
    signature: str
    doc: str
    streams: bool


class Method:
    """A method as the server runs it.

    Attributes:
        function: what to call.
        info: what clients are told.
        streams: as in `info`, close at hand.
    """

    __slots__ = ("_signature", "function", "info", "streams")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.function = function
        # A decorated generator function is one: its wrapper returns what it made.
        self.streams = inspect.isgeneratorfunction(inspect.unwrap(function))
        self._signature: inspect.Signature | None = None
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):
            pass
        self.info = MethodInfo(name, str(self._signature or "(...)"), inspect.getdoc(function) or "", self.streams)

    def mismatch(self, args: list[Any], kwargs: dict[str, Any]) -> str:
        """Why these arguments cannot be given to the method; "" if they can, as far as is known.

        Asked only after a TypeError: was it for the call, or did the method raise it? Cheaper than asking each time.
        """
        if self._signature is not None:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                return str(error)
        return ""


class Service:
    """Methods that a server offers.

    service = jsp.rpc.Service()

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    @service.method(name="log.tail")
    def tail(path: str) -> Iterator[str]:       # a generator: its items are streamed
        ...
    """

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}
        self._add(METHODS, self._describe)
        self._add(ECHO, _echo)

    @overload
    def method(self, function: F, /) -> F: ...

    @overload
    def method(self, *, name: str) -> Callable[[F], F]: ...

    def method(self, function: Any = None, *, name: str | None = None) -> Any:
        """Decorator: offer a function, as `name` or its own name.

        Raises LocalError when the name is taken or cannot be one.
        """

        def offer(wanted: Any) -> Any:
            chosen = wanted.__name__ if name is None else name
            if not isinstance(chosen, str) or not chosen or chosen.startswith(_OWN):
                raise LocalError(f"a method cannot be called {chosen!r}")
            if chosen in self._methods:
                raise LocalError(f"there are two methods called {chosen!r}")
            self._add(chosen, wanted)
            return wanted

        return offer if function is None else offer(function)

    def _add(self, name: str, function: Callable[..., Any]) -> None:
        self._methods[name] = Method(name, function)

    def find(self, name: str) -> Method | None:
        """The method of that name."""
        return self._methods.get(name)

    def methods(self) -> list[MethodInfo]:
        """What is offered, by name, without the library's own."""
        return [self._methods[name].info for name in sorted(self._methods) if not name.startswith(_OWN)]

    def _describe(self) -> list[dict[str, Any]]:
        return [
            {"name": info.name, "signature": info.signature, "doc": info.doc, "streams": info.streams}
            for info in self.methods()
        ]


def _echo(value: Any = None) -> Any:
    return value


@overload
def method(function: F, /) -> F: ...


@overload
def method(*, name: str) -> Callable[[F], F]: ...


def method(function: Any = None, *, name: str | None = None) -> Any:
    """Decorator in a class: objects of it, served, offer this method, as `name` or its own name."""

    def mark(wanted: Any) -> Any:
        setattr(wanted, _MARK, name if name is not None else wanted.__name__)
        return wanted

    return mark if function is None else mark(function)


def as_service(thing: Any) -> Service:
    """A `Service` out of what `Server` is given: one, or an object or a class with `@jsp.rpc.method` in it.

    A class is instantiated without arguments, once. Raises LocalError when nothing is offered.
    """
    if isinstance(thing, Service):
        return thing
    served = thing() if isinstance(thing, type) else thing
    service = Service()
    for name, attribute in _marked(type(served)):
        service.method(name=name)(getattr(served, attribute))
    if not service.methods():
        raise LocalError(f"{type(served).__name__} offers no methods: mark them with @jsp.rpc.method")
    return service


def _marked(kind: type) -> Iterator[tuple[str, str]]:
    """Names and attributes of the methods that are marked in a class and those it is made from."""
    for attribute in dir(kind):
        name = getattr(getattr(kind, attribute, None), _MARK, None)
        if isinstance(name, str):
            yield name, attribute

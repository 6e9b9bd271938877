"""What tests call: `step` for their parts, `attach` for the files they leave, `metric` for what they measured.

Unpublished, they do nothing. None ever raises for a reason of its own: a test must not fail for what is said of it.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from testbus_producers import recording

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

F = TypeVar("F", bound="Callable[..., Any]")

#: Exceptions by which a test ends early without being wrong, by module and name as they call themselves.
_CALM: Final = {
    ("builtins", "Skipped"): "skipped",
    ("unittest.case", "SkipTest"): "skipped",
    ("_pytest.outcomes", "XFailed"): "xfailed",
    ("builtins", "GeneratorExit"): "passed",
}


class step:  # noqa: N801 it is used as a function is
    """A named part of a test, with what is logged in it; steps may be in steps.

    As a context manager, plain or asynchronous, and as a decorator of functions, coroutines and generators:

    >>> import testbus
    >>> with testbus.step("log in"):
    ...     token = "let me in".split()
    >>> @testbus.step("pay")
    ... def pay(amount):
    ...     return amount
    >>> pay(3)
    3
    """

    def __init__(self, name: str) -> None:
        """Name it. Raises TypeError without a name, as in `@testbus.step` for `@testbus.step("…")`."""
        if not isinstance(name, str):
            raise TypeError('testbus.step wants a name: @testbus.step("…") or with testbus.step("…"):')
        self._name = name
        self._node: recording.Node | None = None
        self._outer: recording.Node | None = None

    def __enter__(self) -> Self:
        """Begin it."""
        now = recording.current()
        self._node = now.begin(self._name) if now is not None else None
        if self._node is not None:
            self._outer = recording.enter(self._node)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End it: as failed, when an exception passes through."""
        node, self._node = self._node, None
        if node is None:
            return
        node.end("passed" if kind is None else _CALM.get((kind.__module__, kind.__qualname__), "failed"))
        recording.enter(self._outer)

    async def __aenter__(self) -> Self:
        """Begin it."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End it."""
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Return the function as a step: each call is one."""
        import inspect  # noqa: PLC0415 whoever decorates has it, whoever only imports us need not

        name = self._name
        wrapped: Callable[..., Any]
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                with step(name):
                    return await function(*args, **kwargs)

        elif inspect.isasyncgenfunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                with step(name):
                    async for value in function(*args, **kwargs):
                        yield value

        elif inspect.isgeneratorfunction(function):

            @wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                with step(name):
                    return (yield from function(*args, **kwargs))

        else:

            @wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                with step(name):
                    return function(*args, **kwargs)

        return cast("F", wrapped)


def attach(file: str | Path | bytes, *, name: str | None = None, media_type: str | None = None) -> None:
    """Attach a file, or bytes as a screenshot, to the test that runs.

    A file is read at once. Up to 512 KiB go along, of a larger one only its name and path. `name` is what it is called
    (default: the file's own name), `media_type` its MIME type (default: what the name says). What cannot be read is a
    warning in the test's log.
    """
    now = recording.current()
    if now is None:
        return
    from testbus_producers import files  # noqa: PLC0415 only who attaches something needs it

    try:
        data = files.described(file, name=name, media_type=media_type)
    except (OSError, TypeError, ValueError) as error:
        now.log("warn", f"testbus.attach: {error}", "testbus")
        return
    now.attach(data)


def metric(name: str, value: float, unit: str = "", *, better: str = "lower") -> None:
    """Record a value that the test that runs has measured: queries, connections, the size of a database.

    `better` says which of two values is the better one, `lower` or `higher`. Of one name in one test the last value
    holds. What is no number is a warning in the test's log.

    >>> import testbus
    >>> testbus.metric("queries", 12)
    >>> testbus.metric("throughput", 310.5, "requests/s", better="higher")
    """
    now = recording.current()
    if now is None:
        return
    try:
        now.metric(name, value, unit, better)
    except (TypeError, ValueError, OverflowError) as error:
        now.log("warn", f"testbus.metric: {error}", "testbus")

"""Calls that keep our faults from the tests: what goes wrong is reported once, and never spreads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class SafeCalls:
    """Calls what must not disturb the tests. Any thread may use it."""

    def __init__(self) -> None:
        """Begin without a fault."""
        #: How many calls failed.
        self.faults = 0
        #: The first fault in one line, None while there was none.
        self.first: str | None = None

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what the function returns; None when it raised, which is remembered."""
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 whatever is wrong with us, the user's tests must not fail for it
            self.note(error)
        return None

    def note(self, error: BaseException) -> None:
        """Remember a fault; raise what is not ours: for what is called so often that `call` would cost too much."""
        # Ctrl-C, which is the session's; what calls itself so is not.
        if type(error) is KeyboardInterrupt:
            raise error
        self.faults += 1
        if self.first is None:
            self.first = f"{type(error).__name__} in {_innermost(error)}: {_message(error)}"

    def succeeds(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Call the function, and tell whether it did not raise."""
        return self.call(_called, function, *args, **kwargs) is True


def _called(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> bool:
    function(*args, **kwargs)
    return True


def _message(error: BaseException) -> str:
    """Return what an exception says, in one line; its `__str__` may fail as well."""
    try:
        return " ".join(str(error).split())[:200]
    except BaseException as another:  # noqa: BLE001 the same as above
        return f"({type(another).__name__} in its message)"


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"

"""The one boundary between our faults and the tests: what goes wrong inside is told once, and never spreads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Boundary:
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
        except Exception as error:  # noqa: BLE001 whatever is wrong with us, the user's tests must not fail for it
            self.faults += 1
            if self.first is None:
                place = _innermost(error)
                self.first = f"{type(error).__name__} in {place}: {' '.join(str(error).split())[:200]}"
            return None


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"

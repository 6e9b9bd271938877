"""From an exception to a failure as plain JSON data: in the process where the test ran, where alone it is at hand."""

from __future__ import annotations

import os
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bound of the frames of one failure; of more, the middle is left out (a recursion).
_MAX_FRAMES: Final = 100

#: Bound of the exceptions in one chain.
_MAX_CHAIN: Final = 10

#: Bound in characters of what an exception in a chain says, before it is redacted.
_MAX_SAID: Final = 32 * 1024

#: Packages whose frames are the runner's and say nothing of the test.
_MACHINERY: Final = (
    *(f"{os.sep}{name}{os.sep}" for name in ("_pytest", "pluggy")),
    f"{os.sep}testbus_producers{os.sep}steps.py",
)


def describe(error: BaseException, phase: str, root: str) -> dict[str, Any]:
    """Return phase, type, message, chain and frames of a failure, not yet redacted.

    `root` is the folder to which paths are made relative. The report's text is added by whoever has the report.
    """
    kind, message = _said(error)
    failure: dict[str, Any] = {"phase": phase, "type": kind, "message": message}
    chain = [_cause(cause) for cause in _led_to(error)]
    if chain:
        failure["chain"] = chain
    frames = _frames(error, root)
    if frames:
        failure["frames"] = frames
    return failure


def relative(path: str, root: str) -> str:
    """Return the path relative to `root` when it lies inside it, with forward slashes."""
    if path.startswith(root + os.sep):
        path = path[len(root) + 1 :]
    return path if os.sep == "/" else PurePath(path).as_posix()


def _said(error: BaseException) -> tuple[str, str]:
    """Return qualified class name and message; traceback never fails, whatever the exception's `__str__` does."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    # xdist ends a session in which a report holds what cannot be encoded: never by what we added.
    lines = "".join(traceback.format_exception_only(kind, error)).strip().encode("utf-8", "replace").decode()
    if isinstance(error, SyntaxError):
        lines = lines[lines.rfind(f"{kind.__name__}: ") :] if f"{kind.__name__}: " in lines else lines
    for prefix in (name, f"{kind.__module__}.{kind.__qualname__}", kind.__qualname__, kind.__name__):
        if lines.startswith(f"{prefix}: "):
            return name, lines[len(prefix) + 2 :]
        if lines == prefix:
            return name, ""
    return name, lines


def _cause(error: BaseException) -> dict[str, str]:
    kind, message = _said(error)
    return {"type": kind, "message": message[:_MAX_SAID]}


def _led_to(error: BaseException) -> list[BaseException]:
    """Return the exceptions that led to this one, the first cause first; the members of a group are its causes."""
    found: list[BaseException] = []
    seen = {id(error)}
    current: BaseException | None = error
    while current is not None and len(found) < _MAX_CHAIN:
        for member in _leaves(current):
            if id(member) not in seen and len(found) < _MAX_CHAIN:
                seen.add(id(member))
                found.append(member)
        following = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        current = following if following is not None and id(following) not in seen else None
        if current is not None:
            seen.add(id(current))
            found.append(current)
    return found[::-1][:_MAX_CHAIN]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    pending = list(error.exceptions)[::-1] if isinstance(error, BaseExceptionGroup) else []
    while pending:
        member = pending.pop()
        if isinstance(member, BaseExceptionGroup):
            pending.extend(list(member.exceptions)[::-1])
        else:
            yield member


def _frames(error: BaseException, root: str) -> list[dict[str, Any]]:
    found = [
        {"path": relative(path, root), "line": line, "function": frame.f_code.co_name}
        for frame, line in traceback.walk_tb(error.__traceback__)
        for path in (frame.f_code.co_filename,)
        if not any(part in path for part in _MACHINERY)
    ]
    if len(found) > _MAX_FRAMES:
        half = _MAX_FRAMES // 2
        found = found[:half] + found[-half:]
    return found

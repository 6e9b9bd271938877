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
    kind, message = _describe(error)
    failure: dict[str, Any] = {"phase": phase, "type": kind, "message": message}
    chain = [_cause(cause, relation) for cause, relation in _led_to(error)]
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


def _describe(error: BaseException) -> tuple[str, str]:
    """Return qualified class name and message; traceback never fails, whatever the exception's `__str__` does."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    if kind.__name__ == "DocTestFailure" and kind.__module__ == "doctest":
        return name, _mismatch(error)
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


def _mismatch(error: Any) -> str:
    """Return what a doctest wanted and got: its own text tells only where on this machine it stands."""
    wanted, got = (str(text).strip() or "nothing" for text in (error.example.want, error.got))
    described = f"{error.test.name}: expected {wanted!r}, got {got!r}"
    return described.encode("utf-8", "replace").decode()


def _cause(error: BaseException, relation: str) -> dict[str, str]:
    kind, message = _describe(error)
    return {"type": kind, "message": message[:_MAX_SAID], "relation": relation}


def _led_to(error: BaseException) -> list[tuple[BaseException, str]]:
    """Return the exceptions that led to this one and how, the first cause first; a group's members are its causes."""
    found: list[tuple[BaseException, str]] = []
    seen = {id(error)}
    current: BaseException | None = error
    while current is not None and len(found) < _MAX_CHAIN:
        for member in map(_root, _leaves(current)):
            if id(member) not in seen and len(found) < _MAX_CHAIN:
                seen.add(id(member))
                found.append((member, "member"))
        following, relation = _before(current)
        current = following if following is not None and id(following) not in seen else None
        if current is not None:
            seen.add(id(current))
            found.append((current, relation))
    return found[::-1][-_MAX_CHAIN:]


def _before(error: BaseException) -> tuple[BaseException | None, str]:
    """Return the exception that led to another, and how."""
    wrapped = _wrapped(error)
    if wrapped is not None:
        return wrapped, "cause"
    if error.__cause__ is not None:
        # What a process pool adds so is the traceback of the other process, not another exception.
        return error.__cause__, "context" if type(error.__cause__).__name__.endswith("RemoteTraceback") else "cause"
    return (None if error.__suppress_context__ else error.__context__), "context"


def _wrapped(error: BaseException) -> BaseException | None:
    """Return the exception that a doctest's example raised, which doctest reports by one of its own."""
    if type(error).__module__ == "doctest":
        info = getattr(error, "exc_info", None)
        return info[1] if isinstance(info, tuple) and len(info) > 1 and isinstance(info[1], BaseException) else None
    return None


def _root(error: BaseException) -> BaseException:
    """Return the exception that a member of a group was raised from, in the end."""
    for _ in range(_MAX_CHAIN):
        following, relation = _before(error)
        if following is None or relation != "cause":
            break
        error = following
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    pending = _members(error)
    while pending:
        member = pending.pop()
        inner = _members(member)
        if inner:
            pending.extend(inner)
        else:
            yield member


def _members(error: BaseException) -> list[BaseException]:
    """Return what a group is made of, the last first; pytest's doctests have a group of their own."""
    if isinstance(error, BaseExceptionGroup):
        return list(error.exceptions)[::-1]
    if type(error).__name__ == "MultipleDoctestFailures":
        return [one for one in getattr(error, "failures", ()) if isinstance(one, BaseException)][::-1]
    return []


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

"""Where tests run: Python and its packages, the system, the machine, and the feature flags that somebody named."""

from __future__ import annotations

import os
import platform
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_schemas.wire import MAX_FLAGS, MAX_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from testbus_producers.redaction.cleaner import Cleaner

#: Bound in characters of the name of a flag.
_MAX_NAME: Final = 128

#: Beginning of our own variables, which hold a password.
_OWN: Final = "TESTBUS_"

#: Folder or file in which installers say what a package is: its name and version.
_METADATA: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.]*(?:-[A-Za-z_][\w.]*)*)-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info"
)

#: Where Linux bounds the memory of a container, in bytes; the second one is of older kernels.
_MEMORY_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def describe(flags: Mapping[str, str], labels: Mapping[str, str], clean: Cleaner, *, python: bool) -> dict[str, Any]:
    """Return the data of `environment.recorded`; with `python` of this interpreter, too.

    `flags` are given as they were set, and redacted here.
    """
    data: dict[str, Any] = {
        "platform": platform.platform()[:256],
        "flags": {name: clean.named(name, value) for name, value in flags.items()},
        "labels": dict(labels),
        "cpu": {"model": _cpu_model()[:128], "count": _cpu_count()},
        "memory": _memory(),
    }
    if python:
        data["python"] = f"{platform.python_implementation()} {platform.python_version()}"
        data["packages"] = packages(sys.path)
    return data


def flags_of(patterns: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the flags that TESTBUS_FLAGS names: variables by name or glob, or `name=value`, by name."""
    found: dict[str, str] = {}
    for pattern in patterns:
        name, given, value = pattern.partition("=")
        if given:
            found[name[:_MAX_NAME]] = value
            continue
        for variable in environ:
            if fnmatchcase(variable, pattern) and not variable.startswith(_OWN):
                found[variable[:_MAX_NAME]] = environ[variable]
    return {name: found[name] for name in sorted(found)[:MAX_FLAGS]}


def packages(path: Iterable[str]) -> dict[str, str]:
    """Return the packages that are installed in the folders of `sys.path`: name → version; the first one holds.

    By the names of their metadata only: reading hundreds of files takes long.
    """
    found: dict[str, str] = {}
    for folder in path:
        for match in map(_METADATA.fullmatch, _names(folder)):
            if match:
                found.setdefault(re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"])
    return {name: found[name] for name in sorted(found)[:MAX_PACKAGES]}


def _names(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        # A zip file, or a folder that is not there.
        return


def _cpu_count() -> int | None:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_model() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "Hardware"}:
            return value.strip()
    return platform.processor()


def _memory() -> int | None:
    """Return how many bytes of memory this process may use: the machine's, or as few as its container has."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    limits = [int(text) for path in _MEMORY_LIMITS if (text := _text(path).strip()).isdecimal()]
    return min([machine, *limits])


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

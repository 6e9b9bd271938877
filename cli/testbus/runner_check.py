"""Whether a CI job's results will arrive: looked at with a runner's rights and packages only."""

from __future__ import annotations

import os
import time
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus.errors import CliError
from testbus.options import named_run
from testbus_producers import settings
from testbus_producers.context import git
from testbus_producers.errors import SettingError
from testbus_schemas.errors import TestbusError
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.settings import Settings

#: Seconds that the gates have to answer.
_ANSWER_S: Final = 10.0

#: Subject, ok | warning | failed, what was found and what to do.
Look = tuple[str, str, str]


def looks() -> Iterator[Look]:
    """Yield what was found: variables, packages, broker, spool, coverage, git."""
    told: Settings | None = None
    try:
        told = settings.read()
        yield _variables(told)
    except SettingError as error:
        yield "variables", "failed", str(error)
    yield from _packages()
    if told is not None:
        if told.url is not None:
            yield _broker(told.url, told)
        yield _spool(told.spool)
    yield _coverage()
    yield _git()


def _variables(told: Settings) -> Look:
    if told.url is None:
        return "variables", "failed", "TESTBUS_URL is not set, so nothing is published: give the job that secret"
    try:
        context, origin = named_run(told.run, told.project)
        where = f"run {context.run}, project {context.project} (by {origin})"
    except CliError:
        context, origin = named_run(new_id(), told.project)
        where = (
            f"no CI job that testbus knows: each session is a run of its own, project {context.project} (by {origin})"
        )
    return "variables", "ok", f"{where}; to {settings.place(told.url)}"


def _packages() -> Iterator[Look]:
    yield "testbus", "ok", version("testbus")
    try:
        pytest = version("pytest")
    except PackageNotFoundError:
        yield "pytest", "warning", "not installed here: publish report files with `testbus publish`"
        return
    if any(one.value.startswith("testbus_producers.") for one in entry_points(group="pytest11")):
        switched_off = (
            "testbus" in os.environ.get("PYTEST_ADDOPTS", "") and "no:testbus" in os.environ["PYTEST_ADDOPTS"]
        )
        level, found = ("failed", "switched off by PYTEST_ADDOPTS") if switched_off else ("ok", "and testbus's plugin")
        yield "pytest", level, f"{pytest}, {found}"
    else:
        yield "pytest", "failed", f"{pytest}, without testbus's plugin: install testbus where pytest runs"


def _broker(url: str, told: Settings) -> Look:
    if url.startswith("file:"):
        return "broker", "ok", "none: the embedded pipeline of this machine"
    from testbus_broker.verdict_requests import ask  # noqa: PLC0415 pika only where a broker is asked
    from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

    context, _ = named_run(new_id(), told.project)
    began = time.monotonic()
    try:
        body = encode(produced(VerdictRequested(context=context))).body
        answer = ask(url, body, _ANSWER_S, allow_plaintext=told.allow_plaintext)
    except TestbusError as error:
        return "broker", "failed", str(error)
    if answer is None:
        return (
            "broker",
            "warning",
            f"reached, but no gates answer within {_ANSWER_S:g} s: results wait for them",
        )
    return "broker", "ok", f"reached; the gates answer in {time.monotonic() - began:.1f} s"


def _spool(folder: Path) -> Look:
    try:
        left = sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.exists() else []
    except OSError as error:
        return "spool", "failed", f"{folder}: {error.strerror}: set TESTBUS_SPOOL to a folder that can be written"
    near = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not near.is_dir() or not os.access(near, os.W_OK):
        return "spool", "failed", f"{folder} cannot be written: set TESTBUS_SPOOL to another folder"
    if left:
        return "spool", "warning", f"{len(left)} sessions left something in {folder}: `testbus flush` sends it"
    return "spool", "ok", f"nothing left in {folder}"


def _coverage() -> Look:
    data = [one.name for one in sorted(Path().glob(".coverage*")) if one.is_file() and one.suffix != ".toml"]
    data = [one for one in data if one != ".coveragerc"]
    if data:
        return "coverage", "ok", f"data in {', '.join(data[:3])}"
    try:
        return "coverage", "ok", f"pytest-cov {version('pytest-cov')}: with --cov its data goes along"
    except PackageNotFoundError:
        return "coverage", "warning", "no data here and no pytest-cov: `testbus publish` takes Cobertura and LCOV, too"


def _git() -> Look:
    folder = Path.cwd()
    copy = git.describe(folder)
    if copy.commit is None:
        return "git", "warning", "no git, or no working copy here: only the CI tells commit and branch"
    if git.is_shallow(folder):
        return (
            "git",
            "warning",
            f"commit {copy.commit[:10]}, a shallow clone: fetch all of its history",
        )
    return "git", "ok", f"commit {copy.commit[:10]}, with its history"

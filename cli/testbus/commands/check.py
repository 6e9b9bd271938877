"""`testbus check`: whether everything that is configured can be reached, and what to do where not."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option, named_run
from testbus_producers import settings
from testbus_producers.context import git
from testbus_producers.errors import SettingError
from testbus_schemas.errors import TestbusError
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from testbus_consumers.registry import Instance
    from testbus_consumers.runtime.consumer import Finding
    from testbus_consumers.settings import Settings
    from testbus_producers.settings import Settings as RunnerSettings


#: Seconds until Redis is given up.
_REDIS_S = 5


#: What stands before what was found, by how good it is.
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


@dataclass(frozen=True, kw_only=True)
class Looked:
    """One thing that was looked at."""

    #: What, or where: `broker`, `reportportal/eu`.
    subject: str
    #: Which side of it, as `credentials`; empty where it was looked at as a whole.
    what: str = ""
    #: ok; warning: it works, and a person should know something; failed.
    level: str = "ok"
    #: What was found, and what to do where it is not ok.
    detail: str
    #: Whether it can be used.
    ok: bool = True


@click.command()
@click.option("--embedded", is_flag=True, help="Without a broker: only state and targets.")
@click.option("--runner", is_flag=True, help="What a CI job needs, with its permissions only; reads no configuration.")
@json_option
def check(*, embedded: bool, runner: bool, as_json: bool) -> int:
    """Test broker, state and every target: reachability, credentials, versions. Exits 1 if anything is not usable.

    With --runner: variables, packages, broker, leftover spool, coverage data and git of a job that publishes.
    """
    if runner and embedded:
        raise CliError("--embedded looks at consumers and --runner at a CI job: give one of them")
    found = list(_looks_of_runner() if runner else _looks_of_consumers(embedded=embedded))
    if as_json:
        echo_json([asdict(one) for one in found])
    else:
        for one in found:
            mark, colour = _MARKS[one.level]
            subject = f"{one.subject} {one.what}".rstrip()
            click.echo(f"{click.style(mark, fg=colour)} {subject}: {one.detail}")
        click.echo(f"{sum(one.ok for one in found)} of {len(found)} passed")
    return Exit.OK if all(one.ok for one in found) else Exit.FAILED


def _looks_of_runner() -> Iterator[Looked]:

    for subject, level, detail in looks():
        yield Looked(subject=subject, level=level, detail=detail, ok=level != "failed")


def _looks_of_consumers(*, embedded: bool) -> Iterator[Looked]:
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported

    return _looks(settings.load(), embedded=embedded)


def _looks(configured: Settings, *, embedded: bool) -> Iterator[Looked]:
    from testbus_consumers import registry  # noqa: PLC0415 as above

    instances = registry.instances(configured)
    if not embedded:
        yield from _looked("broker", lambda: _broker(configured, instances))
        for one in instances:
            yield from _looked(f"state of {one.label}", lambda one=one: _state(configured, one))  # type: ignore[misc]
    if configured.redis.url is not None:
        yield from _looked("redis", lambda: _redis(configured))
    for one in instances:
        if one.consumer.check is not None:
            yield from _looked(one.label, lambda one=one: _target(one))  # type: ignore[misc]


def _looked(subject: str, look: Callable[[], str | Sequence[Finding]]) -> Iterator[Looked]:
    from testbus_broker.errors import BrokerError  # noqa: PLC0415 as above
    from testbus_consumers.errors import ConsumerError  # noqa: PLC0415 the same
    from testbus_consumers.runtime.consumer import Level  # noqa: PLC0415 the same

    try:
        found = look()
    except (BrokerError, ConsumerError) as error:
        yield Looked(subject=subject, level=Level.FAILED.value, ok=False, detail=str(error))
        return
    if isinstance(found, str):
        yield Looked(subject=subject, detail=found)
        return
    for one in found:
        ok = one.level is not Level.FAILED
        yield Looked(subject=subject, what=one.what, level=one.level.value, ok=ok, detail=one.detail)


def _broker(configured: Settings, instances: tuple[Instance, ...]) -> str:
    from testbus_broker.connection import redacted  # noqa: PLC0415 as above
    from testbus_broker.queues import depths  # noqa: PLC0415 the same
    from testbus_consumers.errors import ConsumerError  # noqa: PLC0415 the same
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 the same

    url = configured.broker.url.reveal()
    queues = [one.subscription.queue for one in instances]
    found = depths(url, queues, allow_plaintext=configured.broker.allow_plaintext)
    absent = [queue for queue, depth in found.items() if depth is None]
    if absent:
        raise ConsumerError(f"{redacted(url)}: {', '.join(absent)} missing: run `testbus broker declare`")
    return f"{redacted(url)}: {plural(len(queues), 'queue')}"


def _redis(configured: Settings) -> str:
    from redis import Redis, RedisError  # noqa: PLC0415 only where one is configured

    from testbus_consumers.errors import ConsumerError  # noqa: PLC0415 as above

    assert configured.redis.url is not None
    try:
        with Redis.from_url(configured.redis.url.reveal(), socket_timeout=_REDIS_S) as server:
            server.ping()
    except (RedisError, ValueError) as error:
        raise ConsumerError(
            f"{type(error).__name__}: is it there, and redis.url right? Limits are kept by process"
        ) from None
    return "answers"


def _state(configured: Settings, one: Instance) -> str:
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 as above

    from testbus_consumers.errors import StateError  # noqa: PLC0415 the same
    from testbus_consumers.store import open_store  # noqa: PLC0415 the same
    from testbus_consumers.store.migrate import pending  # noqa: PLC0415 the same

    store = open_store(configured.state_url(), one.queue)
    try:
        if pending(store, one.consumer):
            raise StateError("not up to date: run `testbus db upgrade`")
    except DBAPIError as error:
        raise StateError(f"{str(error.orig).splitlines()[0]}: is the database there, and state.url right?") from None
    finally:
        store.close()
    return "up to date"


def _target(one: Instance) -> str | Sequence[Finding]:
    assert one.consumer.check is not None
    client = one.consumer.connect(one.settings)
    try:
        return one.consumer.check(client)
    finally:
        if client is not None:
            client.close()


#: Seconds that the gates have to answer.
_ANSWER_S: Final = 10.0

#: Subject, ok | warning | failed, what was found and what to do.
Look = tuple[str, str, str]


def looks() -> Iterator[Look]:
    """Yield what was found: variables, packages, broker, spool, coverage, git."""
    runner_settings: RunnerSettings | None = None
    try:
        runner_settings = settings.read()
        yield _variables(runner_settings)
    except SettingError as error:
        yield "variables", "failed", str(error)
    yield from _packages()
    if runner_settings is not None:
        if runner_settings.url is not None:
            yield _runner_broker(runner_settings.url, runner_settings)
        yield _spool(runner_settings.spool)
    yield _coverage()
    yield _git()


def _variables(runner_settings: RunnerSettings) -> Look:
    if runner_settings.url is None:
        return "variables", "failed", "TESTBUS_URL is not set, so nothing is published: give the job that secret"
    try:
        context, origin = named_run(runner_settings.run, runner_settings.project)
        where = f"run {context.run}, project {context.project} (by {origin})"
    except CliError:
        context, origin = named_run(new_id(), runner_settings.project)
        where = (
            f"no CI job that testbus knows: each session is a run of its own, project {context.project} (by {origin})"
        )
    return "variables", "ok", f"{where}; to {settings.place(runner_settings.url)}"


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


def _runner_broker(url: str, runner_settings: RunnerSettings) -> Look:
    if url.startswith("file:"):
        return "broker", "ok", "none: the embedded pipeline of this machine"
    from testbus_broker.verdict_requests import ask  # noqa: PLC0415 pika only where a broker is asked
    from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

    context, _ = named_run(new_id(), runner_settings.project)
    began = time.monotonic()
    try:
        body = encode(produced(VerdictRequested(context=context))).body
        answer = ask(url, body, _ANSWER_S, allow_plaintext=runner_settings.allow_plaintext)
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

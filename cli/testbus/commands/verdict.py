"""`testbus verdict`: waits for the gates, and exits as they decided."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.errors import CliError, Exit, TemporaryError
from testbus.options import (
    broker_or_home,
    echo_json,
    json_option,
    named_run,
    plaintext_allowed,
    project_options,
    url_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_schemas import RunContext

#: Seconds between two questions.
_ASK_EVERY_S: Final = 1.0

#: Seconds that one answer may take.
_ANSWER_S: Final = 10.0

#: Lines of what is missing that are shown at once.
_MISSING_SHOWN: Final = 10

#: Verdict → exit code.
EXITS: Final = {"passed": Exit.OK, "failed": Exit.FAILED, "incomplete": Exit.INCOMPLETE}

_MARKS: Final = {"passed": "green", "failed": "red", "incomplete": "yellow"}


@click.command()
@click.argument("run", required=False)
@project_options
@url_option
@click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds to wait.")
@json_option
def verdict(run: str | None, project: str | None, url: str | None, timeout: float, *, as_json: bool) -> int:
    """Wait for and print the verdict on RUN (a beginning of its id is enough; default: this CI job's run).

    Standard error shows whose run is asked for and what it still lacks. Exits 0 passed, 1 failed, 2 usage, 3 incomplete
    or cancelled, 4 timed out, or at once where nobody is at work on it.
    """
    broker, home = broker_or_home(url)
    asked = _asked(run, project, home)
    waiting = VerdictWait(asked=asked, home=home)
    answer = wait(
        broker, home, asked.context, timeout, waiting, report=lambda line: click.echo(f"testbus: {line}", err=True)
    )
    if answer is None:
        click.echo(f"testbus: no verdict on {asked}{_why(home, timeout)}", err=True)
        if as_json:
            echo_json({"status": "pending", "run": asked.context.run, "evaluation": None})
        return Exit.TIMED_OUT
    if as_json:
        echo_json(answer)
    else:
        print_evaluation(answer["evaluation"])
    return EXITS.get(answer["evaluation"]["verdict"], Exit.INCOMPLETE)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The run that is asked for."""

    #: Its context, as far as it is known here.
    context: RunContext
    #: Where its project's name comes from, for people.
    origin: str
    #: The state in which `runs` tells of it; None where that cannot be looked at from here.
    state: str | None = None
    #: Whether `runs` has heard of it; None where that cannot be looked at from here.
    known: bool | None = None

    def __str__(self) -> str:
        """Name run and project."""
        return f"run {self.context.run} of project {self.context.project} (by {self.origin})"

    def awaited(self) -> tuple[str, ...]:
        """Return what the run lacks, as far as that can be seen from here."""
        from testbus_consumers import overview  # noqa: PLC0415 a runner that asks a broker needs no consumers
        from testbus_consumers.errors import StateError  # noqa: PLC0415 the same
        from testbus_consumers.store.run_key import RunKey  # noqa: PLC0415 the same

        if self.state is None:
            return ()
        try:
            key = RunKey.of(self.context)
            with overview.records(self.state) as records:
                found = records.get(key.project, key.run)
            if found is None:
                return ("nothing of it has arrived yet",)
            lacks = overview.awaited(self.state, key) if found.status == "open" else ()
        except StateError:
            return ()
        return lacks or ("everything has arrived; the gates have not decided yet",)


class VerdictWait:
    """Shows on standard error what is waited for, and whenever that changes."""

    def __init__(self, *, asked: Asked, home: Path | None) -> None:
        """Show nothing before the first question came back without a verdict."""
        self._asked = asked
        self._home = home
        self._shown: list[str] = []

    def goes_on(self, *, answered: bool) -> bool:
        """Show what is missing; tell whether it makes sense to wait for it. `answered`: somebody did, but undecided."""
        lines = list(self._asked.awaited())
        if not answered:
            lines.append(
                "nobody has answered: is a worker of requests running, and is it not paused? See `testbus status`"
            )
        if not self._shown:
            click.echo(f"testbus: waiting for the verdict on {self._asked}", err=True)
        if lines != self._shown:
            for line in lines[:_MISSING_SHOWN]:
                click.echo(f"  {line}", err=True)
            if len(lines) > _MISSING_SHOWN:
                click.echo(f"  and {len(lines) - _MISSING_SHOWN} more", err=True)
        self._shown = lines or [""]
        return self._home is None or _is_drained(self._home)


def _asked(run: str | None, project: str | None, home: Path | None) -> Asked:
    """Return the run that a person means. Raises CliError for what can never get a verdict here."""
    context, origin = named_run(run, project)
    state = _state(home)
    if state is None:
        return Asked(context=context, origin=origin)
    from testbus_consumers import overview  # noqa: PLC0415 as above
    from testbus_consumers.errors import StateError  # noqa: PLC0415 the same
    from testbus_consumers.records.listing import names  # noqa: PLC0415 the same
    from testbus_schemas.identity import is_short_for  # noqa: PLC0415 the same

    try:
        with overview.records(state) as records:
            found = records.named(context.run)
    except StateError:
        return Asked(context=context, origin=origin)
    near = [one.run for one in found if not is_short_for(context.run, one.run)]
    found = tuple(one for one in found if is_short_for(context.run, one.run))
    of_project = tuple(one for one in found if one.context.project == context.project)
    if project is not None:
        # At a broker the run may still come: another project's run of that id is no run of this one.
        if found and not of_project and home is not None:
            raise CliError(f"run {found[0].run} belongs to project {found[0].context.project}, not {project}")
        found = of_project
    elif of_project:
        found = of_project
    if len(found) > 1:
        shown = "\n  ".join(names(found)[:_MISSING_SHOWN])
        raise CliError(f"several runs begin with {context.run!r}; give more of the id:\n  {shown}")
    if found:
        (known,) = found
        own = known.context.project == context.project
        origin = origin if own else f"the run itself; {origin} says {context.project}"
        return Asked(context=known.context, origin=origin, state=state, known=True)
    if home is not None and not _is_drained(home):
        hint = f"did you mean {near[0]}?" if near else "`testbus runs` lists the runs"
        raise CliError(f"no run {context.run!r} in {home}: {hint}")
    return Asked(context=context, origin=origin, state=state, known=False)


def _state(home: Path | None) -> str | None:
    """Return where `runs` keeps its state; None where that is not known, or cannot be looked at from here."""
    if home is None and not _has_state():
        return None
    from testbus.report.source import state_url  # noqa: PLC0415 a runner that asks a broker needs no consumers

    return state_url(home)


def _has_state() -> bool:
    """Tell whether a machine that asks a broker is one of those that know the consumers' state."""
    if find_spec("sqlalchemy") is None or find_spec("yaml") is None:
        return False
    from testbus_consumers import settings  # noqa: PLC0415 as above

    return settings.config_path() is not None or bool(os.environ.get(settings.DATABASE_VARIABLE))


def _is_drained(home: Path) -> bool:
    from testbus_consumers.embedded.bus import is_drained  # noqa: PLC0415 as above

    return is_drained(home)


def _why(home: Path | None, timeout: float) -> str:
    """Return why there was no verdict, and what to do."""
    if home is not None and not _is_drained(home):
        return f": nobody is at work in {home}; `testbus drain` goes on with it"
    return f" within {timeout:g} s: `testbus trace RUN` shows where its events are; --project names another project"


def print_evaluation(evaluation: dict[str, Any]) -> None:
    """Print a verdict: what is the matter, with every rule, its value and its threshold, and what failed."""
    from testbus_consumers.wording import numbers, runs, text  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.wording.notice import plain  # noqa: PLC0415 the same
    from testbus_schemas import GateEvaluated  # noqa: PLC0415 the same

    data = GateEvaluated.model_validate(evaluation)
    context = data.context
    run = runs.standing(data)
    word = click.style(run.state.upper(), fg=_MARKS.get(run.state, "yellow"), bold=True)
    click.echo(f"{word}  {text.one_line(plain(runs.finding(run)), 1000)}")
    called = text.run(context.run, context.run_number) if context.run_number else ""
    title = runs.title(context.project, context.suite, context.stage)
    click.echo(f"  {' · '.join(part for part in (title, called, text.name(context.run)) if part)}")
    for rule in data.rules:
        click.echo(f"  {'✓' if rule.outcome == 'passed' else '✗'} {text.one_line(rule.message, 1000)}")
    for reason in run.missing:
        click.echo(f"  ! {text.one_line(reason, 1000)}")
    for cause in run.causes:
        click.echo(f"    {text.name(cause.test)}: {cause.failure_text}")
        if cause.tests > 1:
            click.echo(f"      and {numbers.plural(cause.tests - 1, 'more test')} for this cause")
    if run.causes_total and run.causes_total > len(run.causes):
        click.echo(f"    … and {numbers.plural(run.causes_total - len(run.causes), 'more cause')}")


def wait(
    broker: str | None,
    home: Path | None,
    context: RunContext,
    timeout: float,
    waiting: VerdictWait | None = None,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """Return the answer of the gates once they have decided; None when they have not in so many seconds.

    `waiting` is called for each question that brought no verdict, and may end it. A broker that is unreachable for a
    while, as during its restart, is asked again, and `report` is called once each time; its error is raised when the
    time is over and it was never reached.
    """
    deadline = time.monotonic() + timeout
    unreachable: Exception | None = None
    reached = False
    while True:
        left = deadline - time.monotonic()
        try:
            answer = _ask_home(home, context) if home else _ask_broker(str(broker), context, _clamp(left))
        except TemporaryError as error:
            if unreachable is None:
                report(f"{error}; asking again for {max(left, 0):.0f} s")
            answer, unreachable = None, error
        else:
            unreachable, reached = None, True
        if answer is not None and answer["status"] == "refused":
            raise CliError(f"the request is refused: {answer['reason']}")
        if answer is not None and answer["status"] == "decided":
            return answer
        if waiting is not None and not waiting.goes_on(answered=answer is not None):
            return None
        if time.monotonic() + _ASK_EVERY_S > deadline:
            if unreachable is not None and not reached:
                raise unreachable
            return None
        time.sleep(_ASK_EVERY_S)


def _clamp(seconds: float) -> float:
    return max(0.1, min(_ANSWER_S, seconds))


def _ask_home(home: Path, context: RunContext) -> dict[str, Any]:
    from testbus_consumers import settings  # noqa: PLC0415 a runner that asks a broker needs no consumers
    from testbus_consumers.embedded.bus import read_verdict  # noqa: PLC0415 the same

    return read_verdict(settings.load(), home, context)


def _ask_broker(url: str, context: RunContext, timeout: float) -> dict[str, Any] | None:
    from testbus_broker.connection import is_permanent  # noqa: PLC0415 pika only where a broker is asked
    from testbus_broker.errors import ConnectFailedError, ConnectionLostError  # noqa: PLC0415 the same
    from testbus_broker.verdict_requests import ask  # noqa: PLC0415 the same
    from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

    request = encode(produced(VerdictRequested(context=context))).body
    try:
        answer = ask(url, request, timeout, allow_plaintext=plaintext_allowed())
    except (ConnectFailedError, ConnectionLostError) as error:
        if error.__cause__ is not None and is_permanent(error.__cause__):
            raise
        raise TemporaryError(str(error)) from error
    return None if answer is None else json.loads(answer)

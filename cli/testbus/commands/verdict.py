"""`testbus verdict`: waits for the gates, and exits as they decided."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.commands.common import (
    broker_or_home,
    context_of,
    echo_json,
    json_option,
    plaintext_allowed,
    project_options,
    url_option,
)
from testbus.errors import CliError, Exit, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_schemas import RunContext

#: Seconds between two questions.
_ASK_EVERY_S: Final = 1.0

#: Seconds that one answer may take.
_ANSWER_S: Final = 10.0

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
    """Wait for and print the verdict on RUN (default: this CI job's run).

    Exits 0 passed, 1 failed, 2 usage, 3 incomplete or cancelled, 4 timed out.
    """
    broker, home = broker_or_home(url)
    context = context_of(run, project)
    answer = wait(broker, home, context, timeout, report=lambda line: click.echo(line, err=True))
    if answer is None:
        where = f"`testbus trace {context.run}` shows where its events are"
        click.echo(f"no verdict on {context.run} within {timeout:g} s: {where}", err=True)
        if as_json:
            echo_json({"status": "pending", "run": context.run, "evaluation": None})
        return Exit.TIMED_OUT
    if as_json:
        echo_json(answer)
    else:
        print_evaluation(answer["evaluation"])
    return EXITS.get(answer["evaluation"]["verdict"], Exit.INCOMPLETE)


def print_evaluation(evaluation: dict[str, Any]) -> None:
    """Print a verdict with every rule, its value and its threshold."""
    counts = ", ".join(f"{n} {outcome}" for outcome, n in evaluation["counts"].items()) or "no tests"
    word = click.style(evaluation["verdict"].upper(), fg=_MARKS.get(evaluation["verdict"], "yellow"), bold=True)
    click.echo(f"{word}  {evaluation['context']['run']}  ({counts})")
    for rule in evaluation["rules"]:
        click.echo(f"  {'✓' if rule['outcome'] == 'passed' else '✗'} {rule['message']}")
    rules = {rule["message"] for rule in evaluation["rules"]}
    for reason in evaluation["reasons"]:
        if reason not in rules:
            click.echo(f"  ! {reason}")
    for failure in evaluation["failures"]:
        click.echo(f"    {failure['outcome']}: {failure['node_id']}  {failure['type']}: {failure['message']}"[:200])


def wait(
    broker: str | None,
    home: Path | None,
    context: RunContext,
    timeout: float,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """Return the answer of the gates once they have decided; None when they have not in so many seconds.

    A broker that is unreachable for a while, as during its restart, is asked again, and `report` is told once each
    time; its error is raised when the time is over and it was never reached.
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
            raise CliError(f"the gates do not answer: {answer['reason']}")
        if answer is not None and answer["status"] == "decided":
            return answer
        if time.monotonic() + _ASK_EVERY_S > deadline:
            if unreachable is not None and not reached:
                raise unreachable
            return None
        time.sleep(_ASK_EVERY_S)


def _clamp(seconds: float) -> float:
    return max(0.1, min(_ANSWER_S, seconds))


def _ask_home(home: Path, context: RunContext) -> dict[str, Any]:
    from testbus_consumers import settings  # noqa: PLC0415 a runner that asks a broker needs no consumers
    from testbus_consumers.embedded.reading import read_verdict  # noqa: PLC0415 the same

    return read_verdict(settings.load(), home, context)


def _ask_broker(url: str, context: RunContext, timeout: float) -> dict[str, Any] | None:
    from testbus_broker.connection import is_permanent  # noqa: PLC0415 pika only where a broker is asked
    from testbus_broker.errors import ConnectFailedError, ConnectionLostError  # noqa: PLC0415 the same
    from testbus_broker.requests import ask  # noqa: PLC0415 the same
    from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

    request = encode(produced(VerdictRequested(context=context))).body
    try:
        answer = ask(url, request, timeout, allow_plaintext=plaintext_allowed())
    except (ConnectFailedError, ConnectionLostError) as error:
        if error.__cause__ is not None and is_permanent(error.__cause__):
            raise
        raise TemporaryError(str(error)) from error
    return None if answer is None else json.loads(answer)

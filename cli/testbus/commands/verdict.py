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
from testbus.errors import Exit

if TYPE_CHECKING:
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
    answer = wait(broker, home, context, timeout)
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
        click.echo(f"    {text.name(cause.test)}: {cause.said}")
        if cause.tests > 1:
            click.echo(f"      and {numbers.plural(cause.tests - 1, 'more test')} for this cause")
    if run.causes_total and run.causes_total > len(run.causes):
        click.echo(f"    … and {numbers.plural(run.causes_total - len(run.causes), 'more cause')}")


def wait(broker: str | None, home: Path | None, context: RunContext, timeout: float) -> dict[str, Any] | None:
    """Return the answer of the gates once they have decided; None when they have not in so many seconds."""
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        answer = _ask_home(home, context) if home else _ask_broker(str(broker), context, max(0.1, min(_ANSWER_S, left)))
        if answer is not None and answer["status"] == "decided":
            return answer
        if time.monotonic() + _ASK_EVERY_S > deadline:
            return None
        time.sleep(_ASK_EVERY_S)


def _ask_home(home: Path, context: RunContext) -> dict[str, Any]:
    from testbus_consumers import settings  # noqa: PLC0415 a runner that asks a broker needs no consumers
    from testbus_consumers.embedded.reading import read_verdict  # noqa: PLC0415 the same

    return read_verdict(settings.load(), home, context)


def _ask_broker(url: str, context: RunContext, timeout: float) -> dict[str, Any] | None:
    from testbus_broker.requests import ask  # noqa: PLC0415 pika only where a broker is asked
    from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

    request = encode(produced(VerdictRequested(context=context))).body
    answer = ask(url, request, timeout, allow_plaintext=plaintext_allowed())
    return None if answer is None else json.loads(answer)

"""`testbus demo`: the whole pipeline on this machine."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

import click

from testbus.demo.play import EXPECTED, play
from testbus.demo.screen import Screen
from testbus.errors import Exit
from testbus.options import echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.option(
    "--url",
    metavar="URL",
    help="Play over this RabbitMQ, with real workers, in a virtual host that nothing of testbus uses; "
    "what the demo declares there goes with it. [default: embedded]",
)
@click.option("--keep", is_flag=True, help="Leave the sandbox up until Ctrl-C, to look at its pages.")
@json_option
def demo(url: str | None, *, keep: bool, as_json: bool) -> int:
    """Run a small project's tests, green and broken, and show what ReportPortal, Jira, gates and Slack make of it."""
    with _ended_in_order():
        summary = play(url, Screen(quiet=as_json), keep=_until_interrupted if keep else None)
    if as_json:
        echo_json(summary)
    return Exit.OK if tuple(run["verdict"] for run in summary["runs"]) == EXPECTED else Exit.FAILED


def _until_interrupted() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does: workers end, and what was declared at the broker goes."""

    def interrupt(*_signal: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""`testbus demo`: the whole pipeline on this machine."""

from __future__ import annotations

import click

from testbus.commands.common import echo_json, json_option
from testbus.demo.play import EXPECTED, play
from testbus.demo.screen import Screen
from testbus.errors import Exit


@click.command()
@click.option("--url", metavar="URL", help="Play over this RabbitMQ, with real workers. [default: embedded]")
@json_option
def demo(url: str | None, *, as_json: bool) -> int:
    """Run a small project's tests twice, green and broken, and show what ReportPortal, gates and Slack make of it."""
    summary = play(url, Screen(quiet=as_json))
    if as_json:
        echo_json(summary)
    return Exit.OK if tuple(run["verdict"] for run in summary["runs"]) == EXPECTED else Exit.FAILED

"""What the demo shows, line by line, as it happens."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

from testbus_consumers.wording import text
from testbus_consumers.wording.numbers import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A link as Slack writes it, of which the terminal shows the words.
_SLACK_LINK = re.compile(r"<[^|>]+\|([^>]+)>")

#: Characters of an alert that are shown.
_ALERT_CHARS = 240

#: Colour of a verdict.
_COLOURS = {"passed": "green", "failed": "red", "incomplete": "yellow"}


class Screen:
    """Prints each thing once, with the second in which it happened."""

    def __init__(self, *, quiet: bool) -> None:
        """Print to standard output, or nowhere."""
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._shown: dict[str, str] = {}

    def open(self, title: str, consumers: Sequence[str]) -> None:
        """Show what is going to happen."""
        say = self._console.print
        say(f"[bold]testbus demo[/bold]  ({title})\n")
        stem = "  pytest ──▶ testbus.events ─"
        for index, name in enumerate(consumers):
            branch = "┬" if index == 0 else "└" if index == len(consumers) - 1 else "├"
            say(f"{stem if index == 0 else ' ' * len(stem)}{branch}─▶ [cyan]{name}[/cyan]")
        say()

    def scene(self, title: str) -> None:
        """Show that something new begins."""
        self._console.print(f"\n[bold]{title}[/bold]")

    def pages(self, pages: Mapping[str, str]) -> None:
        """Show where to look at what arrived."""
        self._console.print("\nThe sandbox stays up until Ctrl-C:")
        for name, page in pages.items():
            self._console.print(f"  {name:15} {page}")

    def say(self, who: str, what: str, *details: str) -> None:
        """Show that something happened."""
        colour = _COLOURS.get(what)
        line = f"[{colour} bold]{what}[/]" if colour else what
        self._console.print(f"{self._second()}  [cyan]{who:15}[/cyan] {line}")
        for detail in details:
            self._console.print(f"{'':24} {detail}", style="dim", markup=False)

    def progress(self, counts: Mapping[str, str]) -> None:
        """Show the targets whose counts changed."""
        for who, what in counts.items():
            if self._shown.setdefault(who, what if _nothing(what) else "") != what:
                self._shown[who] = what
                self._console.print(f"{self._second()}  [cyan]{who:15}[/cyan] {what}")

    def close(self, summary: Mapping[str, Any]) -> None:
        """Show what it came to, and how to go on."""
        self._console.print()
        for run in summary["runs"]:
            colour = _COLOURS.get(run["verdict"], "yellow")
            called = text.run(run["id"]).removeprefix("run ")
            self._console.print(f"{called:15} [{colour}]{run['verdict']}[/]")
            for reason in run["reasons"] or ["all rules hold"]:
                self._console.print(f"{'':15} {reason}", style="dim", markup=False)
        self._console.print()
        for name, counts in summary["reportportal"].items():
            launches = plural(counts["launches"], "launch", "launches")
            line = f"{launches}, {plural(counts['items'], 'item')}, {plural(counts['logs'], 'log')}"
            self._console.print(f"reportportal/{name}  {line}")
        jira, slack = summary["jira"], summary["slack"]
        self._console.print(f"jira            {plural(jira['issues'], 'issue')}, {plural(jira['comments'], 'comment')}")
        self._console.print(f"slack           {plural(slack['messages'], 'message')}; in their threads:")
        for alert in slack["alerts"]:
            line = _SLACK_LINK.sub(r"\1", alert.splitlines()[0]).replace("`", "")
            self._console.print(f"                {text.one_line(line, _ALERT_CHARS)}", style="dim", markup=False)
        self._console.print(f"\n{plural(summary['results'], 'result')} in {summary['seconds']} s.")
        self._console.print(f"The broken run as a page:  [bold]{summary['report']}[/bold]")
        self._console.print("On your own project:       [bold]testbus run -- pytest[/bold]")

    def _second(self) -> str:
        return f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]"


def _nothing(counts: str) -> bool:
    """Tell whether a target has nothing yet, which is not worth a line."""
    return not any(digit in counts for digit in "123456789")

"""What is told beside a run's message: what became worse, what is over, and which issues stand for its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_consumers.slack import text
from testbus_consumers.slack.messages import Message, issue, message, place, title
from testbus_schemas import IssueAction

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_schemas import IssueLinked, RegressionDetected, RegressionRecovered, RunContext

#: Characters of a finding, of a title and of a name.
_FINDING, _TITLE, _NAME = 1500, 250, 200

#: Digits of a commit id that are shown.
_SHORT: Final = 7

#: What became of an issue, where the event says no more.
_ACTIONS: Final = {IssueAction.CREATED: "created", IssueAction.UPDATED: "known, and told of this run"}


def detected(data: RegressionDetected, *, alone: bool) -> Message:
    """Return the news of something that became worse; `alone` tells that the run's message is not above it."""
    first = f"📉 {_of(data.context, alone=alone)}{text.escape(text.cut(data.message, _FINDING))}"
    compared = (data.baseline_commit or "")[:_SHORT] or data.baseline_run
    parts = [
        f"compared with {text.code(text.cut(compared, _NAME))}" if compared else "",
        place(data.context, None, None) if alone else "",
    ]
    return message([first], [], " · ".join(part for part in parts if part))


def recovered(data: RegressionRecovered, since: datetime | None, *, alone: bool) -> Message:
    """Return the news of something that is over; `since` is when the run started in which it was found, if known."""
    first = f"🎉 {_of(data.context, alone=alone)}{text.escape(text.cut(data.message, _FINDING))}"
    when = f"{since:%Y-%m-%d %H:%M} UTC, " if since else ""
    parts = [
        f"since {when}run {text.code(text.cut(data.since, _NAME))}",
        place(data.context, None, None) if alone else "",
    ]
    return message([first], [], " · ".join(part for part in parts if part))


def linked(data: IssueLinked, *, alone: bool) -> Message:
    """Return the news of an issue that stands for what failed."""
    what = f": {text.escape(text.cut(data.title, _TITLE))}" if data.title else ""
    first = f"🎫 {_of(data.context, alone=alone)}{issue(data)}{what}"
    parts = [
        _ACTIONS.get(data.action, ""),
        text.escape(text.cut(data.status, _NAME)),
        place(data.context, None, None) if alone else "",
    ]
    return message([first], [], " · ".join(part for part in parts if part))


def _of(context: RunContext, *, alone: bool) -> str:
    return f"*{title(context)}*: " if alone else ""

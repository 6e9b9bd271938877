"""What is posted at Slack: a run's one message, and in its thread or another channel what else there is, each once."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from testbus_consumers.rate_limits import LONGEST_S
from testbus_consumers.runtime import Effects
from testbus_consumers.slack.client import SlackClient
from testbus_consumers.slack.errors import RateLimitedError
from testbus_consumers.slack.settings import REPORT_FIELDS, SlackSettings
from testbus_consumers.slack.state import OVER, RUNNING, issues_of, launches_of, shown_as
from testbus_consumers.store import intents
from testbus_consumers.wording import runs, slack
from testbus_schemas import GateEvaluated
from testbus_schemas.identity import derived_id
from testbus_schemas.model import AHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.runtime import State
    from testbus_consumers.slack.state import Shown
    from testbus_consumers.wording.notice import Notice
    from testbus_consumers.wording.slack import SlackMessage
    from testbus_schemas import IssueLinked, LaunchLinked, RunContext

#: What a handler here is given.
SlackEffects = Effects[SlackSettings, SlackClient]

#: How much earlier than it can have been posted a message is looked for: clocks differ, those of runners by up to a day
#: (see `testbus_schemas.model.AHEAD`).
_SLACK_TIME: Final = AHEAD + timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Links:
    """What a run's message links, and what of the run was posted."""

    #: Issues by root cause.
    issues: Mapping[str, IssueLinked]
    #: Launches in ReportPortal, by target.
    launches: tuple[LaunchLinked, ...]
    #: `ts` of the message; None while none is known to be posted.
    ts: str | None
    #: Names of the issues that were reported in its thread.
    in_thread: frozenset[str]


def links_of(state: State[SlackSettings], context: RunContext) -> Links:
    """Return what is known beside a run's verdict: read where its state was written, and used for all that follows.

    Handlers of one run follow one another, so nothing changes in between.
    """
    issues = issues_of(state, context)
    replies = {_reply_key(context, name): name for name in map(issue_name, issues.values())}
    posted = intents.results(state.connection, [message := shown_as(context), *replies])
    return Links(
        issues=issues,
        launches=launches_of(state, context),
        ts=str(posted[message]["ts"]) if "ts" in (posted.get(message) or {}) else None,
        in_thread=frozenset(replies[key] for key in posted if key in replies),
    )


def issue_name(issue: IssueLinked) -> str:
    """Return the name under which an issue is reported in a thread."""
    return f"issue:{issue.tracker}:{issue.key}"


def render(
    effects: SlackEffects, context: RunContext, shown: Shown, links: Links, *, without: str | None = None
) -> SlackMessage:
    """Return a run's message in a state, with the issues and launches that are known.

    `without` leaves out the issue of that root cause, or the launch of that uuid.
    """
    issues = {cause: issue for cause, issue in links.issues.items() if cause != without}
    launches = [launch for launch in links.launches if launch.uuid != without]
    report_url = _report_url(effects.settings, context)
    return slack.render(_notice(shown, context, issues, runs.Whereabouts(report_url=report_url, launches=launches)))


def _notice(shown: Shown, context: RunContext, issues: Mapping[str, IssueLinked], where: runs.Whereabouts) -> Notice:
    verdict = GateEvaluated.model_validate(shown.verdict) if shown.verdict else None
    standing = runs.standing(verdict) if verdict else None
    if shown.stage > OVER and shown.stage % 2:
        return runs.reopened(context, shown.reason, standing, where)
    if verdict is None or standing is None:
        return runs.running(context, over=shown.stage != RUNNING, where=where)
    took = datetime.fromtimestamp(shown.notified_at, UTC) - verdict.context.started_at
    return runs.judged(verdict.context, standing, replace(where, took=took), issues)


def _report_url(settings: SlackSettings, context: RunContext) -> str | None:
    if settings.report_url is None:
        return None
    fields = {name: quote(getattr(context, name) or "", safe="") for name in REPORT_FIELDS}
    return settings.report_url.format_map(fields)


def posted(
    effects: SlackEffects, context: RunContext, shown: Shown, links: Links, message: SlackMessage
) -> tuple[str, bool]:
    """Return the `ts` of a run's only message, and whether it was posted just now."""
    if links.ts is not None and not effects.resent:
        return links.ts, False
    channel = _channel(shown)
    key = derived_id("slack", channel, context.project, context.run)
    fresh: list[str] = []

    def act() -> dict[str, str]:
        turn(effects, channel)
        fresh.append(effects.client.post(channel, message, key, context.run))
        return {"ts": fresh[0]}

    def ask() -> dict[str, str] | None:
        return _found(effects.client.find(channel, key, (context.started_at - _SLACK_TIME).timestamp()))

    result = effects.once(shown_as(context), act, ask)
    return str(result["ts"]), bool(fresh)


def update(effects: SlackEffects, shown: Shown, ts: str, message: SlackMessage) -> None:
    """Replace a run's message."""
    channel = _channel(shown)
    turn(effects, channel)
    effects.client.update(channel, ts, message)


def reply(
    effects: SlackEffects, context: RunContext, shown: Shown, ts: str, *, name: str, message: SlackMessage
) -> None:
    """Post something in the thread of a run's message, once; `name` tells it from everything else of the run."""
    channel = _channel(shown)
    key = derived_id("slack", channel, context.project, context.run, name)

    def act() -> dict[str, str]:
        turn(effects, channel)
        return {"ts": effects.client.post(channel, message, key, context.run, ts)}

    def ask() -> dict[str, str] | None:
        return _found(effects.client.find_reply(channel, ts, key))

    effects.once(_reply_key(context, name), act, ask)


def _reply_key(context: RunContext, name: str) -> str:
    return f"reply:{context.project}:{context.run}:{name}"


def post_separately(
    effects: SlackEffects, context: RunContext, channel: str, *, name: str, message: SlackMessage, since: datetime
) -> None:
    """Post something in a channel that its route gives it, once; `since` is when it was found."""
    key = derived_id("slack", channel, context.project, context.run, name)

    def act() -> dict[str, str]:
        turn(effects, channel)
        return {"ts": effects.client.post(channel, message, key, context.run)}

    def ask() -> dict[str, str] | None:
        return _found(effects.client.find(channel, key, (since - _SLACK_TIME).timestamp()))

    effects.once(f"apart:{context.project}:{context.run}:{name}", act, ask)


def turn(effects: Effects[SlackSettings, Any], channel: str) -> None:
    """Wait until a channel may be written to; RateLimitedError when that takes longer than a handler waits."""
    wait = effects.limits.take(f"slack:{channel}", every_s=effects.settings.seconds_per_message)
    if wait > LONGEST_S:
        raise RateLimitedError(f"{channel} has its next turn in {wait:.0f} s", timedelta(seconds=wait))
    time.sleep(wait)


def _channel(shown: Shown) -> str:
    assert shown.channel is not None
    return shown.channel


def _found(ts: str | None) -> dict[str, str] | None:
    return {"ts": ts} if ts else None

"""`slack`: one message for each run, posted when it is first heard of, brought up to date until its verdict.

What else there is to say of a run is reported in the thread of its message.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from testbus_consumers.runtime import Consumer, Done, Outcome, Reject, Retry, effect, state
from testbus_consumers.slack import posting, webhook
from testbus_consumers.slack.client import SlackClient
from testbus_consumers.slack.errors import MessageGoneError, RateLimitedError, RefusedError
from testbus_consumers.slack.settings import SlackSettings
from testbus_consumers.slack.state import (
    DELETE_SHOWN,
    METADATA,
    RUNNING,
    Shown,
    _schedule_deletion,
    advance,
    delete_shown,
    differs,
    join,
    keep_issue,
    keep_launch,
    latest_shown,
)
from testbus_consumers.slack.webhook import SlackWebhook
from testbus_consumers.wording import issues, regressions
from testbus_consumers.wording.slack import render
from testbus_schemas import (
    GateEvaluated,
    IssueLinked,
    LaunchLinked,
    ProducerStarted,
    RegressionDetected,
    RegressionRecovered,
    RunReopened,
)
from testbus_schemas.decisions import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.runtime import State
    from testbus_consumers.slack.posting import SlackEffects
    from testbus_consumers.slack.settings import Severity
    from testbus_consumers.wording.notice import Notice
    from testbus_schemas import Event, EventData


def _notifying(function: Callable[[Any, SlackEffects], Outcome]) -> Callable[[Any, SlackEffects], Outcome]:
    """Give a handler the filter, and the outcomes of what Slack does not take."""

    @wraps(function)
    def handler(event: Event[Any], effects: SlackEffects) -> Outcome:
        if why := effects.settings.leaves_out(event.data.context):
            return Done(why)
        if effects.settings.webhook is not None and not isinstance(event.data, GateEvaluated | RunReopened):
            return Done(f"{_kept_for_webhook(event.data, effects)}: an incoming webhook tells verdicts only")
        try:
            return function(event, effects)
        except RateLimitedError as error:
            return Retry(str(error), after=error.after, counted=False)
        except MessageGoneError as error:
            return Done(f"a person took the message away: {error}")
        except RefusedError as error:
            return Reject(str(error))

    return handler


@_notifying
def notify_start(event: Event[ProducerStarted], effects: SlackEffects) -> Outcome:
    """Say that a run is running."""
    return _show(event, effects, Shown(stage=RUNNING, notified_at=event.time.timestamp()))


@_notifying
def notify_verdict(event: Event[GateEvaluated], effects: SlackEffects) -> Outcome:
    """Say what the verdict is."""
    data = event.data
    new = Shown(stage=2 * data.revision, notified_at=event.time.timestamp(), verdict=data.model_dump(mode="json"))
    return _show(event, effects, new)


@_notifying
def notify_reopened(event: Event[RunReopened], effects: SlackEffects) -> Outcome:
    """Say that the verdict no longer holds."""
    new = Shown(stage=2 * event.data.revision + 1, notified_at=event.time.timestamp(), reason=event.data.reason)
    return _show(event, effects, new)


@_notifying
def notify_regression(event: Event[RegressionDetected], effects: SlackEffects) -> Outcome:
    """Say what became worse, in the thread of the run in which it was found."""
    return _notify_news(event, effects, "regression", lambda *, alone: regressions.detected(event.data, alone=alone))


@_notifying
def notify_recovery(event: Event[RegressionRecovered], effects: SlackEffects) -> Outcome:
    """Say what is over and since when it was there, in the thread of the run that recovered."""
    return _notify_news(event, effects, "recovery", lambda *, alone: regressions.recovered(event.data, alone=alone))


@_notifying
def notify_issue(event: Event[IssueLinked], effects: SlackEffects) -> Outcome:
    """Say which issue stands for a root cause: at the cause in the run's message, and in its thread."""
    data = event.data
    own = effects.settings.own_channel_of(data.context, "issue")
    if own is not None:
        posting.post_separately(
            effects,
            data.context,
            own,
            name=posting.issue_name(data),
            message=render(issues.linked_issue(data, alone=True)),
            since=event.time,
        )
    with effects.transaction() as transaction:
        keep_issue(transaction, data)
        links = posting.links_of(transaction, data.context)
        wanted = own is None and effects.settings.only_on == "always"
        found_at, posted = event.time.timestamp(), links.ts is not None
        current = join(transaction, data.context, found_at, wanted=wanted, posted=posted)
    if not current.wanted:
        return Done("kept until there is a reason to notify")
    message = posting.render(effects, data.context, current, links)
    ts, fresh = posting.posted(effects, data.context, current, links, message)
    if not fresh and message != posting.render(effects, data.context, current, links, without=data.fingerprint):
        posting.update(effects, current, ts, message)
    _notify_issues(event, effects, current, links, ts)
    return Done(f"message {ts}")


@_notifying
def link_launch(event: Event[LaunchLinked], effects: SlackEffects) -> Outcome:
    """Link the run's launch in its message, if there is one."""
    data = event.data
    with effects.transaction() as transaction:
        keep_launch(transaction, data)
        _schedule_deletion(transaction, data.context)
        current = latest_shown(transaction, data.context)
        links = posting.links_of(transaction, data.context)
    if current is None or not current.wanted:
        return Done("kept until there is a reason to notify")
    message = posting.render(effects, data.context, current, links)
    ts, fresh = posting.posted(effects, data.context, current, links, message)
    if not fresh and message != posting.render(effects, data.context, current, links, without=data.uuid):
        posting.update(effects, current, ts, message)
    return Done(f"message {ts}")


def _kept_for_webhook(data: EventData, effects: SlackEffects) -> str:
    """Keep what the verdict's message links, and return what was done."""
    if not isinstance(data, IssueLinked | LaunchLinked):
        return "left out"
    with effects.transaction() as transaction:
        if isinstance(data, IssueLinked):
            keep_issue(transaction, data)
        else:
            keep_launch(transaction, data)
        _schedule_deletion(transaction, data.context)
    return "kept for the verdict"


def _show(event: Event[Any], effects: SlackEffects, new: Shown) -> Outcome:
    """Bring a run's message to a state, unless it shows a later one."""
    context = event.data.context
    verdict = event.data if isinstance(event.data, GateEvaluated) else None
    with effects.transaction() as transaction:
        current = advance(
            transaction,
            context,
            new,
            wants=lambda: _is_wanted(transaction, verdict),
        )
        links = posting.links_of(transaction, context)
    if current is None:
        return Done("the message shows a later state")
    if not current.wanted:
        return Done(f"left out: only runs that {_REASONS[effects.settings.only_on]} notify")
    message = posting.render(effects, context, current, links)
    if effects.settings.webhook is not None:
        if verdict is None:
            return Done("left out: an incoming webhook tells verdicts only")
        return webhook.notify(effects, context, verdict.verdict.value, message)  # type: ignore[arg-type] # as connected
    ts, fresh = posting.posted(effects, context, current, links, message)
    if not fresh and current.stage:
        posting.update(effects, current, ts, message)
    _notify_issues(event, effects, current, links, ts)
    return Done(f"message {ts}")


def _notify_news(
    event: Event[Any], effects: SlackEffects, severity: Severity, notice: Callable[..., Notice]
) -> Outcome:
    """Post something in the thread of a run's message, or in the channel that its route gives it."""
    context = event.data.context
    own = effects.settings.own_channel_of(context, severity)
    if own is not None:
        message = render(notice(alone=True))
        posting.post_separately(effects, context, own, name=event.id, message=message, since=event.time)
        return Done(f"posted in {own}")
    with effects.transaction() as transaction:
        links = posting.links_of(transaction, context)
        current = join(transaction, context, event.time.timestamp(), wanted=True, posted=links.ts is not None)
    message = posting.render(effects, context, current, links)
    ts, _ = posting.posted(effects, context, current, links, message)
    posting.reply(effects, context, current, ts, name=event.id, message=render(notice(alone=False)))
    return Done(f"in the thread of message {ts}")


def _notify_issues(event: Event[Any], effects: SlackEffects, current: Shown, links: posting.Links, ts: str) -> None:
    """Post in the thread what is known of a run's issues and was not posted yet."""
    context = event.data.context
    if effects.settings.own_channel_of(context, "issue") is not None:
        return
    for name, issue in {posting.issue_name(issue): issue for issue in links.issues.values()}.items():
        # What a replay resends is not taken for told: the target is asked.
        if name not in links.in_thread or effects.resent:
            news = render(issues.linked_issue(issue))
            posting.reply(effects, context, current, ts, name=name, message=news)


def _is_wanted(transaction: State[SlackSettings], verdict: GateEvaluated | None) -> bool:
    """Tell whether a new state of a run is a reason for a message; a verdict is entered where changes matter."""
    only_on = transaction.settings.only_on
    if verdict is None or only_on == "always":
        return only_on == "always"
    if only_on == "changed":
        return differs(transaction, verdict)
    return verdict.verdict is not Verdict.PASSED and not verdict.cancelled


def _run_key(event: Event[Any]) -> str:
    return f"run:{event.data.context.project}:{event.data.context.run}"


def _connect(settings: SlackSettings) -> SlackClient | SlackWebhook:
    return SlackClient(settings) if settings.webhook is None else SlackWebhook(settings)


def _check(client: SlackClient | SlackWebhook) -> str:
    return client.check()


#: What a run has to have for a message, by `only_on`.
_REASONS = {"always": "exist", "failed": "failed", "changed": "changed their branch's verdict"}

#: What is reported, and when.
CONSUMER = Consumer(
    name="slack",
    summary="posts each run's verdict in one Slack message, and what there is to add in its thread",
    settings=SlackSettings,
    handlers={
        ProducerStarted: effect(notify_start, key=_run_key),
        GateEvaluated: effect(notify_verdict, key=_run_key),
        RunReopened: effect(notify_reopened, key=_run_key),
        RegressionDetected: effect(notify_regression, key=_run_key),
        RegressionRecovered: effect(notify_recovery, key=_run_key),
        IssueLinked: effect(notify_issue, key=_run_key),
        LaunchLinked: effect(link_launch, key=_run_key),
    },
    jobs={DELETE_SHOWN: state(delete_shown)},
    metadata=METADATA,
    migrations="testbus_consumers.slack.migrations",
    connect=_connect,
    check=_check,
    notifies=True,
)

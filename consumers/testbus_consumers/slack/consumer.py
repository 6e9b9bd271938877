"""`slack`: one message for each run, posted when it is first heard of, brought up to date until its verdict."""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.runtime import Consumer, Done, Effects, Outcome, Reject, Retry, effect
from testbus_consumers.slack import messages, shown
from testbus_consumers.slack.client import SlackClient
from testbus_consumers.slack.errors import MessageGoneError, RateLimitedError, RefusedError
from testbus_consumers.slack.settings import SlackSettings
from testbus_consumers.slack.shown import Shown
from testbus_consumers.slack.tables import METADATA
from testbus_schemas import GateEvaluated, ProducerStarted, RunReopened
from testbus_schemas.decisions import Verdict
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.slack.messages import Message
    from testbus_schemas import Event, RunContext

#: What a handler here is given.
Scope = Effects[SlackSettings, SlackClient]

#: How much earlier than a run's start its message is looked for: clocks differ.
_SLACK_TIME: Final = timedelta(hours=1)


def _telling(function: Callable[[Any, Scope], Outcome]) -> Callable[[Any, Scope], Outcome]:
    """Give a handler the filter, and the outcomes of what Slack does not take."""

    @wraps(function)
    def handler(event: Event[Any], effects: Scope) -> Outcome:
        if why := effects.settings.leaves_out(event.data.context):
            return Done(why)
        try:
            return function(event, effects)
        except RateLimitedError as error:
            return Retry(str(error), after=error.after, counted=False)
        except MessageGoneError as error:
            return Done(f"a person took the message away: {error}")
        except RefusedError as error:
            return Reject(str(error))

    return handler


@_telling
def tell_start(event: Event[ProducerStarted], effects: Scope) -> Outcome:
    """Say that a run is running."""
    state = Shown(stage=0, told_at=event.time.timestamp(), wanted=effects.settings.only_on == "always")
    return _tell(event, effects, state, lambda _: messages.running(event.data.context, effects.settings.report_url))


@_telling
def tell_verdict(event: Event[GateEvaluated], effects: Scope) -> Outcome:
    """Say what the verdict is."""
    data = event.data
    state = Shown(
        stage=2 * data.revision,
        told_at=event.time.timestamp(),
        wanted=effects.settings.only_on == "always" or data.verdict is not Verdict.PASSED,
        verdict=data.model_dump(mode="json"),
    )
    took = event.time - data.context.started_at
    return _tell(event, effects, state, lambda _: messages.verdict(data, took, effects.settings.report_url))


@_telling
def tell_reopened(event: Event[RunReopened], effects: Scope) -> Outcome:
    """Say that the verdict no longer holds."""
    data = event.data
    state = Shown(
        stage=2 * data.revision + 1,
        told_at=event.time.timestamp(),
        wanted=effects.settings.only_on == "always",
    )

    def message(before: GateEvaluated | None) -> Message:
        return messages.reopened(data.context, data.reason, before, effects.settings.report_url)

    return _tell(event, effects, state, message)


def _tell(
    event: Event[Any], effects: Scope, state: Shown, message_of: Callable[[GateEvaluated | None], Message]
) -> Outcome:
    """Bring a run's message to a state, unless it shows a later one; `message_of` is given the verdict before."""
    context = event.data.context
    with effects.transaction() as transaction:
        before = shown.latest(transaction, context)
        if before is not None and before.place > state.place:
            return Done("the message shows a later state")
        verdict = state.verdict or (before.verdict if before else None)
        wanted = state.wanted or (before is not None and before.wanted)
        shown.keep(
            transaction,
            context,
            Shown(stage=state.stage, told_at=state.told_at, wanted=wanted, verdict=verdict),
        )
    if not wanted:
        return Done("left out: only failed runs are told of")
    message = message_of(GateEvaluated.model_validate(verdict) if verdict else None)
    ts, fresh = _posted(effects, context, message)
    if not fresh and state.stage:
        effects.client.update(ts, message.text, message.blocks)
    return Done(f"message {ts}")


def _posted(effects: Scope, context: RunContext, message: Message) -> tuple[str, bool]:
    """Return the `ts` of the run's only message, and whether it was posted just now."""
    key = derived_id("slack", effects.settings.channel, context.project, context.run)
    posted: list[str] = []

    def act() -> dict[str, str]:
        posted.append(effects.client.post(key, context.run, message.text, message.blocks))
        return {"ts": posted[0]}

    def ask() -> dict[str, str] | None:
        ts = effects.client.find(key, (context.started_at - _SLACK_TIME).timestamp())
        return {"ts": ts} if ts else None

    result = effects.once(f"message:{context.project}:{context.run}", act, ask)
    return str(result["ts"]), bool(posted)


def _run_key(event: Event[Any]) -> str:
    return f"run:{event.data.context.project}:{event.data.context.run}"


#: What is told, and when.
CONSUMER = Consumer(
    name="slack",
    summary="tells each run's verdict in one Slack message",
    settings=SlackSettings,
    handlers={
        ProducerStarted: effect(tell_start, key=_run_key),
        GateEvaluated: effect(tell_verdict, key=_run_key),
        RunReopened: effect(tell_reopened, key=_run_key),
    },
    metadata=METADATA,
    migrations="testbus_consumers.slack.migrations",
    connect=SlackClient,
    check=SlackClient.check,
    notifies=True,
)

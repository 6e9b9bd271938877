"""`reportportal`: each run is one launch of each target, whatever the number of its processes."""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import structlog

from testbus_consumers.errors import UnsettledError
from testbus_consumers.reportportal import check, issue_links, items, launch_payloads, launches, logs, routing
from testbus_consumers.reportportal.client import ReportPortalClient
from testbus_consumers.reportportal.errors import NotThereError, RefusedError
from testbus_consumers.reportportal.settings import ReportPortalTarget, arrange
from testbus_consumers.reportportal.state import (
    DELETE_FAILED,
    DELETE_WAITING,
    FAILED,
    FLAKY_ATTRIBUTE,
    FLAKY_PART,
    LINK,
    METADATA,
    OWNER,
    PART,
    ROUTE,
    SUITE,
    VARIANT_PART,
    VERDICT_PART,
    LaunchPart,
    begin_waiting,
    delete_failed,
    delete_waiting,
    keep_failed,
    keep_flaky,
    keep_link,
    keep_part,
    parts_of_run,
    waited_enough,
)
from testbus_consumers.runtime import Consumer, Done, Outcome, Reject, Retry, RunCompletion, effect, state
from testbus_schemas import (
    ArtifactRecorded,
    GateEvaluated,
    IssueLinked,
    ProducerStarted,
    RegressionDetected,
    RegressionKind,
    RegressionRecovered,
    ResultsRecorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from testbus_consumers.reportportal.client import PortalEffects
    from testbus_consumers.reportportal.tree import Identities
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, RunContext

log = structlog.get_logger(__name__)

#: When to look again for what has to come first.
_SOON: Final = timedelta(seconds=5)

#: What the ledger says of what a target with `paths` has no use for.
_NO_PATHS: Final = "left out: no test is among the target's paths"

#: Refused items that a rejection names.
_NAMED: Final = 5


def _reporting(function: Callable[[Any, PortalEffects], Outcome]) -> Callable[[Any, PortalEffects], Outcome]:
    """Give a handler the filters and the mode, and the outcomes of what ReportPortal does not take."""

    @wraps(function)
    def handler(subject: Any, effects: PortalEffects) -> Outcome:
        context: RunContext = subject.context if isinstance(subject, RunCompletion) else subject.data.context
        if why := routing.left_out(effects, context):
            return Done(why)
        if wait := effects.client.keep_to(effects.limits, effects.consumer):
            return Retry(f"rate_per_s: the next turn is in {wait:.0f} s", after=timedelta(seconds=wait), counted=False)
        try:
            return function(subject, effects)
        except NotThereError as error:
            # Perhaps the launch itself was deleted: the next attempt looks, and starts it again if so.
            effects.client.drop(launches.identities(effects, context).launch)
            begin_waiting(effects)
            return Retry(str(error), after=_SOON, counted=False)
        except UnsettledError as error:
            return Retry(str(error), after=error.after, counted=False)
        except RefusedError as error:
            return Reject(f"ReportPortal refused: {error}")

    return handler


@_reporting
def begin(event: Event[ProducerStarted], effects: PortalEffects) -> Outcome:
    """Start the run's launch, so that people see it before its first result."""
    if effects.settings.paths is not None:
        return Done("waits for a test that is among the target's paths")
    launches.ensure(effects, event.data.context)
    return Done()


@_reporting
def report(event: Event[ResultsRecorded], effects: PortalEffects) -> Outcome:
    """Report each result as an item with its logs."""
    context = event.data.context
    wanted = tuple(result for result in event.data.results if effects.settings.wants(result))
    if not wanted:
        return Done(_NO_PATHS)
    event = event.model_copy(update={"data": event.data.model_copy(update={"results": wanted})})
    launch = launches.ensure(effects, context)
    ids = launches.identities_for(effects, event, launch)
    texts = items.texts_of(effects, event, launch, ids)
    refused, stopped = items.report(effects, ids, launch, texts)
    logs.report(effects, event, ids, texts, refused)
    if rows := items.failed_rows(ids, texts, refused):
        _link_known_issues(effects, ids, rows)
    if any(text.flaky for text in texts):
        _show_flaky(effects, context)
    if refused:
        more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise RefusedError("; ".join(str(error) for error in list(refused.values())[:_NAMED]) + more)
    if stopped:
        some = ", ".join(stopped[:_NAMED]) + (", …" if len(stopped) > _NAMED else "")
        return Done(
            f"{len(texts)} items; {len(stopped)} of them had been ended by a person who stopped the launch, and stay "
            f"INTERRUPTED: {some}"
        )
    return Done(f"{len(texts)} items")


@_reporting
def attach(event: Event[ArtifactRecorded], effects: PortalEffects) -> Outcome:
    """Attach a file to its test, or to the run's launch."""
    data = event.data
    if not effects.settings.wants_path(data.node_id):
        return Done(_NO_PATHS)
    if data.node_id is None and not _begun(effects, data.context):
        if waited_enough(effects):
            return Done(_NO_PATHS)
        raise NotThereError("the launch, which has no test yet that is among the target's paths")
    launch = launches.ensure(effects, data.context)
    return Done(f"{data.name} to {logs.report_file(effects, event, launch)}")


def note_flaky(event: Event[RegressionDetected] | Event[RegressionRecovered], state: State[Any]) -> Outcome:
    """Keep which tests are known to be flaky."""
    if event.data.kind is not RegressionKind.TEST_FLAKY:
        return Done()
    keep_flaky(state, event)
    return Done(event.data.subject)


@_reporting
def finish(completion: RunCompletion, effects: PortalEffects) -> Outcome:
    """Finish the run's launch; a corrected run is reported by its attributes and description."""
    if not _begun(effects, completion.context):
        return Done(_NO_PATHS)
    return Done(launches.finish(effects, completion))


@_reporting
def show_verdict(event: Event[GateEvaluated], effects: PortalEffects) -> Outcome:
    """Put the verdict on the run's launch."""
    data = event.data
    part = LaunchPart(
        name=VERDICT_PART,
        revision=data.revision,
        pairs=tuple(launch_payloads.verdict_pairs(data)),
        text=launch_payloads.verdict_text(data),
    )
    with effects.transaction() as transaction:
        keep_part(transaction, launches.identities(effects, data.context), part)
    if not _begun(effects, data.context):
        return Done(_NO_PATHS)
    launches.ensure(effects, data.context)
    launches.update_texts(effects, data.context)
    return Done(data.verdict.value)


@_reporting
def link_issue(event: Event[IssueLinked], effects: PortalEffects) -> Outcome:
    """Show an issue on the items that failed for its root cause, whether they are there yet or not."""
    data = event.data
    if not data.url.startswith(("http://", "https://")):
        return Done(f"{data.key} has no address that ReportPortal could link to")
    ids = launches.identities(effects, data.context)
    with effects.transaction() as transaction:
        keep_link(transaction, ids, data)
    return Done(f"{data.key} on {issue_links.link(effects, ids, {data.fingerprint})} items")


def _begun(effects: PortalEffects, context: RunContext) -> bool:
    """Tell whether a run has a launch here, or is to have one: not before a test that is among the target's paths."""
    if effects.settings.paths is None:
        return True
    with effects.transaction() as transaction:
        kept = parts_of_run(transaction, launches.identities(effects, context))
    return any(part.name.startswith(VARIANT_PART) for part in kept)


def _link_known_issues(effects: PortalEffects, ids: Identities, rows: Sequence[Mapping[str, str]]) -> None:
    """Keep failed items, and show on them the issues that came before them."""
    with effects.transaction() as transaction:
        keep_failed(transaction, ids, rows)
    try:
        issue_links.link(effects, ids, {row["fingerprint"] for row in rows}, {row["item"] for row in rows})
    except RefusedError as error:
        # The results are reported: they are not given up for an issue that ReportPortal does not take.
        log.warning("issues not linked", run=ids.run, reason=str(error))


def _show_flaky(effects: PortalEffects, context: RunContext) -> None:
    """Put it on the run's launch that tests failed which are known to be flaky, once."""
    ids = launches.identities(effects, context)
    part = LaunchPart(name=FLAKY_PART, revision=0, pairs=(FLAKY_ATTRIBUTE,), text="")
    with effects.transaction() as transaction:
        if part in parts_of_run(transaction, ids):
            return
        keep_part(transaction, ids, part)
    launches.update_texts(effects, context)


def _run_key(event: Event[GateEvaluated]) -> str:
    return f"launch:{event.data.context.project}:{event.data.context.run}"


#: What is reported, and when.
CONSUMER = Consumer(
    name="reportportal",
    summary="reports each run as one launch of each ReportPortal target",
    settings=ReportPortalTarget,
    handlers={
        ProducerStarted: effect(begin),
        ResultsRecorded: effect(report),
        ArtifactRecorded: effect(attach),
        GateEvaluated: effect(show_verdict, key=_run_key),
        IssueLinked: effect(link_issue),
        RegressionDetected: state(note_flaky),
        RegressionRecovered: state(note_flaky),
    },
    on_complete=effect(finish),
    jobs={DELETE_FAILED: state(delete_failed), DELETE_WAITING: state(delete_waiting)},
    metadata=METADATA,
    by_run=(PART, ROUTE, SUITE, FAILED, LINK, OWNER),
    migrations="testbus_consumers.reportportal.migrations",
    targeted=True,
    arrange=arrange,
    connect=ReportPortalClient,
    check=check.findings,
)

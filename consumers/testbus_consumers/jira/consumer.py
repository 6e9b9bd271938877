"""`jira`: one issue for each root cause and project, created once, and told of every run that meets the cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from testbus_consumers.errors import LeaseLostError, SettingsError, UnsettledError
from testbus_consumers.jira import filing
from testbus_consumers.jira import issues as known
from testbus_consumers.jira.client import JiraClient
from testbus_consumers.jira.errors import RateLimitedError, RefusedError
from testbus_consumers.jira.filing import Filing
from testbus_consumers.jira.issues import LAUNCH, METADATA, causes_of
from testbus_consumers.jira.settings import OTHERS, JiraSettings
from testbus_consumers.runtime import Consumer, Done, Outcome, Reject, Retry, RunCompletion, effect
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.wording.numbers import plural
from testbus_schemas import IssueAction, LaunchLinked
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from testbus_consumers.jira.filing import JiraEffects
    from testbus_consumers.jira.issues import CauseOfRun
    from testbus_schemas import Event

log = structlog.get_logger(__name__)

#: When to look again for a cause that another worker is busy with.
_SOON: Final = timedelta(seconds=5)

#: Refusals that a rejection names.
_NAMED: Final = 3


@dataclass
class FilingReport:
    """What became of a run's causes."""

    #: Issues by what was done with them.
    done: Counter[IssueAction] = field(default_factory=Counter)
    #: Why some have to wait, and how long.
    waiting: list[tuple[str, timedelta]] = field(default_factory=list)
    #: Why some were refused.
    refused: list[str] = field(default_factory=list)

    def outcome(self, left_out: int, limit: int) -> Outcome:
        """Return what that means to the runtime: refusals are reported once nothing else has to wait."""
        if self.waiting:
            return Retry(self.waiting[0][0], after=max(after for _, after in self.waiting), counted=False)
        if self.refused:
            more = f"; and {len(self.refused) - _NAMED} more" if len(self.refused) > _NAMED else ""
            return Reject("; ".join(self.refused[:_NAMED]) + more)
        created = plural(self.done[IssueAction.CREATED], "issue")
        outcome_text = f"{created} created, {self.done[IssueAction.UPDATED]:,} updated"
        if left_out:
            outcome_text += f"; {plural(left_out, 'new cause')} left out: max_new_per_run is {limit}"
        return Done(outcome_text)


def file_run(completion: RunCompletion, effects: JiraEffects) -> Outcome:
    """File every cause of a run's failures, complete or not; what failed while it was cancelled says nothing."""
    if completion.cancelled:
        return Done("left out: the run was cancelled")
    settings = effects.settings
    context = completion.context
    project = settings.project_of(context)
    if why := settings.leaves_out(context) or (None if project else "left out"):
        return Done(why)
    assert project is not None
    causes = causes_of(completion.record)
    with effects.transaction() as transaction:
        issues = known.of_causes(transaction, project, [cause.fingerprint for cause in causes])
    chosen = _within_limit(causes, issues, completion.key, settings.max_new_per_run)
    if left_out := len(causes) - len(chosen):
        log.warning(
            "new causes left out", run=completion.run, causes=left_out, max_new_per_run=settings.max_new_per_run
        )
    report = FilingReport()
    for cause in chosen:
        one = Filing(completion=completion, project=project, cause=cause)
        try:
            report.done[_once(one, effects)] += 1
        except UnsettledError as error:
            report.waiting.append((str(error), error.after))
        except LeaseLostError as error:
            report.waiting.append((str(error), _SOON))
        except RefusedError as error:
            report.refused.append(str(error))
        except RateLimitedError as error:
            return Retry(str(error), after=error.after, counted=False)
    return report.outcome(left_out, settings.max_new_per_run)


def link_launch(event: Event[LaunchLinked], effects: JiraEffects) -> Outcome:
    """Link a run's launch in the issues that tell of the run, and in those that will."""
    context = event.data.context
    settings = effects.settings
    project = settings.project_of(context)
    if project is None or settings.leaves_out(context):
        return Done(settings.leaves_out(context) or "left out")
    with effects.transaction() as transaction:
        known.keep_launch(transaction, event.data)
    # Only then: what is decided, and filed, after this look finds the launch.
    record = effects.records.latest(context) if effects.records else None
    fingerprints = [cause.fingerprint for cause in record.causes()] if record else []
    with effects.transaction() as transaction:
        issues = known.of_causes(transaction, project, fingerprints)
    linked = 0
    try:
        for fingerprint, issue in issues.items():
            with effects.holding(f"issue:{project}:{fingerprint}"):
                linked += filing.link_launches(issue, RunKey.of(context), effects)
    except LeaseLostError as error:
        return Retry(str(error), after=_SOON, counted=False)
    except RateLimitedError as error:
        return Retry(str(error), after=error.after, counted=False)
    except RefusedError as error:
        return Reject(str(error))
    return Done(f"linked in {plural(linked, 'issue')}")


def _once(one: Filing, effects: JiraEffects) -> IssueAction:
    """File a cause of a run, unless an earlier attempt at this decision has: a retry asks Jira for the others only."""

    def act() -> str:
        with effects.holding(one.key):
            return filing.file(one, effects).value

    done = derived_id(one.completion.event_id, one.key, *one.cause.tests)
    return IssueAction(effects.once(f"filed:{done}", act, lambda: None))


def check(client: JiraClient) -> str:
    """Look whether issues can be filed: account, projects, permissions, required fields.

    Raises ConsumerError with what to do.
    """
    settings = client.settings
    outcome_text = client.version()
    for name, project in settings.project.items():
        key = "project" if name == OTHERS else f"project.{name}"
        if lacking := client.lacks(project):
            raise SettingsError(f"consumers.jira.{key}: the account lacks {', '.join(lacking)} in {project}")
        required = client.required(project, settings.issue_type)
        own = {"project", "issuetype", "summary", "description", "labels", "reporter"}
        if missing := [
            f"{field} ({label})" for field, label in required.items() if field not in own | settings.fields.keys()
        ]:
            raise SettingsError(
                f"consumers.jira.fields: {settings.issue_type} in {project} also needs {', '.join(missing)}"
            )
    return f"{outcome_text}: may file in {', '.join(sorted(set(settings.project.values())))}"


def _within_limit(causes: list[CauseOfRun], issues: dict[str, Any], key: RunKey, limit: int) -> list[CauseOfRun]:
    """Return the causes that have an issue, and as many new ones as one run may lead to, those of most tests first."""
    left = limit - sum(1 for issue in issues.values() if issue.filed_run == str(key))
    chosen = []
    for cause in causes:
        if cause.fingerprint not in issues or issues[cause.fingerprint].key is None:
            left -= 1
            if left < 0:
                continue
        chosen.append(cause)
    return chosen


#: What is filed, and when.
CONSUMER = Consumer(
    name="jira",
    summary="files one Jira issue for each root cause, and keeps it up to date",
    settings=JiraSettings,
    handlers={LaunchLinked: effect(link_launch)},
    on_complete=effect(file_run),
    metadata=METADATA,
    by_run=(LAUNCH,),
    migrations="testbus_consumers.jira.migrations",
    connect=JiraClient,
    check=check,
    notifies=True,
)

"""One cause of one run: its issue is created, or brought up to date, or opened again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.errors import TargetDownError
from testbus_consumers.jira import issues, writing
from testbus_consumers.jira.errors import UnreachableError
from testbus_schemas import IssueAction, IssueLinked

if TYPE_CHECKING:
    from testbus_consumers.jira.client import JiraClient, SeenIssue
    from testbus_consumers.jira.issues import CauseOfRun, Issue, Occurrence
    from testbus_consumers.jira.settings import JiraSettings
    from testbus_consumers.runtime import Effects, RunCompletion, State
    from testbus_consumers.store.run_key import RunKey

    #: What is needed to act on Jira.
    JiraEffects = Effects[JiraSettings, JiraClient]

#: Tests that issue.linked names.
_LINKED_TESTS: Final = 20

#: Status of an issue that was created just now: what its workflow calls it was not asked.
_UNASKED: Final = ""


@dataclass(frozen=True, kw_only=True)
class Filing:
    """A cause that is to be filed for a run."""

    completion: RunCompletion
    #: Key of the project in Jira.
    project: str
    cause: CauseOfRun

    @property
    def key(self) -> str:
        """Return what no two workers may work on at once."""
        return f"issue:{self.project}:{self.cause.fingerprint}"


def file(filing: Filing, effects: JiraEffects) -> IssueAction:
    """See to it that one issue stands for the cause and tells of the run; raises what the client raises.

    Called by one worker at a time for each `filing.key`.
    """
    with effects.transaction() as state:
        launches = issues.launches_of(state, filing.completion.key)
        run = issues.occurrence(filing.completion.context, filing.cause, launches)
        issue = issues.met(state, filing.project, filing.cause.fingerprint, run)
    if issue.key is None:
        return _create(filing, issue, run, effects)
    seen = effects.client.read(issue.key)
    if seen is None:
        return _create(filing, _next(filing, issue, effects), run, effects)
    return _bring_up_to_date(filing, issue, run, seen, effects)


def _create(filing: Filing, issue: Issue, run: Occurrence, effects: JiraEffects) -> IssueAction:
    """Create the issue, unless there is one already: made by an attempt whose answer was lost, or by others."""
    settle = timedelta(seconds=effects.settings.settle_s)

    def act() -> dict[str, Any]:
        there = _others(filing, issue, issue.label, effects)
        usable = [one for one in there if one.open] or (there[-1:] if issue.generation == 1 else [])
        if usable:
            return {"key": usable[0].key, "run": None}
        return {"key": effects.client.create(_fields(filing, issue, run, effects)), "run": str(run.key)}

    def ask() -> dict[str, Any] | None:
        found = _others(filing, issue, issue.own_label, effects)
        return {"key": found[0].key, "run": _maker(found[0], issue, effects)} if found else None

    result = effects.once(f"{filing.key}:{issue.generation}", act, ask, settle=settle)
    with effects.transaction() as state:
        issue = issues.change(state, issue, key=str(result["key"]), filed_run=result["run"])
        if issue.filed_run == str(run.key):
            _emit_link(state, filing, issue, writing.summary(filing.completion.context.project, filing.cause), _UNASKED)
            return IssueAction.CREATED
    seen = effects.client.read(str(issue.key))
    if seen is None:
        raise TargetDownError(f"{issue.key} is found by its label, but cannot be read")
    return _bring_up_to_date(filing, issue, run, seen, effects)


def _others(filing: Filing, issue: Issue, label: str, effects: JiraEffects) -> list[SeenIssue]:
    """Return the issues with a label, but for the one that this is to follow; nothing is done at Jira."""
    try:
        found = effects.client.find(filing.project, label)
    except TargetDownError as error:
        raise UnreachableError(str(error)) from None
    return [one for one in found if one.key != issue.previous]


def _maker(seen: SeenIssue, issue: Issue, effects: JiraEffects) -> str | None:
    """Return the run that an issue was created for, by an attempt of ours whose answer was lost."""
    markup = effects.client.markup
    runs = (one.key for one in (issue.first, *reversed(issue.latest)))
    return next((str(key) for key in runs if writing.names_run(seen.description, key.run, markup)), None)


def link_launches(issue: Issue, key: RunKey, effects: JiraEffects) -> bool:
    """Show a run's launches in an issue that tells of it, and say whether it does; raises what the client raises.

    Called by one worker at a time for each cause.
    """
    with effects.transaction() as state:
        launches = issues.launches_of(state, key)
        fresh = issues.of_causes(state, issue.project, [issue.fingerprint])[issue.fingerprint]
        changed = issues.with_launches(fresh, key, launches)
    if changed == fresh or fresh.key is None:
        return False
    seen = effects.client.read(str(fresh.key))
    text = writing.renewed(seen.description, changed, effects.client.markup) if seen else None
    if seen is not None and text is not None:
        effects.client.describe(seen, text)
    # Only now: an attempt that Jira did not take is to be made again.
    with effects.transaction() as state:
        issues.change(state, fresh, first=asdict(changed.first), latest=[asdict(one) for one in changed.latest])
    return text is not None


def _bring_up_to_date(
    filing: Filing, issue: Issue, run: Occurrence, seen: SeenIssue, effects: JiraEffects
) -> IssueAction:
    """Let an issue tell of a run: in its table, by a comment if the last one is old, open again if it was closed."""
    reopened = False
    if not seen.open and run.at > seen.closed_at.timestamp():
        recent = effects.now - seen.closed_at <= timedelta(days=effects.settings.reopen_within_days)
        if not recent or not effects.client.reopen(seen.key):
            return _create(filing, _next(filing, issue, effects), run, effects)
        reopened = True
    text = writing.renewed(seen.description, issue, effects.client.markup)
    if text is not None:
        effects.client.describe(seen, text)
    if issue.filed_run != str(run.key):
        _comment(issue, run, seen, effects, reopened=reopened)
    status = (effects.client.read(seen.key) or seen).status if reopened else seen.status
    with effects.transaction() as state:
        _emit_link(state, filing, replace(issue, key=seen.key), seen.title, status)
    return IssueAction.UPDATED


def _comment(issue: Issue, run: Occurrence, seen: SeenIssue, effects: JiraEffects, *, reopened: bool) -> None:
    """Comment on an issue, at most once for a run and not more often than the settings allow."""
    now = effects.now.timestamp()
    pause = effects.settings.comment_every_h * 3600
    if issue.commented_at is not None and now - issue.commented_at < pause:
        return
    markup = effects.client.markup

    def act() -> str:
        return effects.client.comment(seen.key, writing.comment(issue, run, markup, reopened=reopened))

    def ask() -> str | None:
        made = effects.client.comments(seen.key)
        return next((number for number, body in made if writing.names_run(body, run.run, markup)), None)

    effects.once(f"comment:{issue.key}:{run.key}", act, ask)
    with effects.transaction() as state:
        issues.change(state, issue, commented_at=now)


def _next(filing: Filing, issue: Issue, effects: JiraEffects) -> Issue:
    """Begin the next issue of a cause, because the one before stays closed or was deleted.

    What cannot be seen is taken for deleted only by an account that may see everything else.
    """
    if lacking := effects.client.lacks(filing.project):
        raise TargetDownError(
            f"{issue.key} cannot be used, and the account lacks {', '.join(lacking)} in {filing.project}: give it these"
        )
    fresh = {"generation": issue.generation + 1, "key": None, "filed_run": None, "commented_at": None}
    with effects.transaction() as state:
        return issues.change(state, issue, previous=issue.key, **fresh)


def _fields(filing: Filing, issue: Issue, run: Occurrence, effects: JiraEffects) -> dict[str, Any]:
    settings = effects.settings
    labels = dict.fromkeys((issue.label, issue.own_label, *settings.labels))
    return settings.fields | {
        "project": {"key": issue.project},
        "issuetype": {"name": settings.issue_type},
        "summary": writing.summary(filing.completion.context.project, filing.cause),
        "description": writing.description(filing.cause, issue, run, effects.client.markup),
        "labels": list(labels),
    }


def _emit_link(state: State[Any], filing: Filing, issue: Issue, title: str, status: str) -> None:
    context = filing.completion.context
    data = IssueLinked(
        context=context,
        fingerprint=issue.fingerprint,
        tracker="jira",
        key=str(issue.key),
        url=f"{state.settings.url}/browse/{issue.key}",
        title=title,
        status=status,
        node_ids=filing.cause.tests[:_LINKED_TESTS],
        total=len(filing.cause.tests),
        action=IssueAction.CREATED if issue.filed_run == str(filing.completion.key) else IssueAction.UPDATED,
    )
    state.emit(data, counted=(str(issue.key), issue.fingerprint, context.run))

"""What is written into an issue, as far as it fits: its title, its description with the table of runs, and comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.jira.document import cut, excerpt
from testbus_consumers.wording import issues

if TYPE_CHECKING:
    from testbus_consumers.jira.document import Markup
    from testbus_consumers.jira.issues import CauseOfRun, Issue, Occurrence

#: Characters of a description that Jira takes.
_DESCRIPTION_CHARS: Final = 32_767

#: What is tried in turn until a new description fits, because escaping makes a text up to five times as long:
#: characters of the failure's text, and failing tests that are named.
_FITS: Final = ((6000, 20), (3000, 20), (1000, 20), (0, 20), (0, 5), (0, 1))

#: Rows of the table to try, until the description fits.
_ROWS: Final = (10, 5, 1)


def summary(project: str, cause: CauseOfRun) -> str:
    """Return the title; `project` is testbus's."""
    return cut(issues.summary(project, cause.type, cause.message, cause.tests), issues.SUMMARY_CHARS)


def description(cause: CauseOfRun, issue: Issue, run: Occurrence, markup: Markup) -> Any:
    """Return the description of a new issue, filed for `run`; what it tells is cut until it fits."""
    history = _history(issue)
    hint = issues.hint(issue.label, run.run, issue.previous)
    for characters, named in _FITS:
        text = excerpt(cause.text, characters) if characters and cause.text else ""
        opening = issues.description(cause.type, cause.message, cause.tests, text, named=named)
        written = markup.render([*opening, *issues.occurrences(history, _ROWS[0]), hint])
        if markup.size(written) <= _DESCRIPTION_CHARS:
            break
    return written


def renewed(before: Any, issue: Issue, markup: Markup) -> Any | None:
    """Return a description with its table of occurrences brought up to date.

    None when there is nothing to change: a person has taken the table away, or left no room for it.
    """
    for rows in _ROWS:
        text = markup.replace(before, issues.occurrences(_history(issue), rows))
        if text is None or text == before:
            return None
        if markup.size(text) <= _DESCRIPTION_CHARS:
            return text
    return None


def comment(issue: Issue, run: Occurrence, markup: Markup, *, reopened: bool) -> Any:
    """Return a comment that tells of a run."""
    return markup.render([issues.comment(_seen(run), issue.runs, reopened=reopened)])


def names_run(text: Any, run: str, markup: Markup) -> bool:
    """Tell whether a description was filed for a run, or a comment tells of it; older ones have the bare id."""
    return markup.mentions(text, issues.show(run)) or markup.mentions(text, run)


def _history(issue: Issue) -> issues.IssueHistory:
    return issues.IssueHistory(runs=issue.runs, first=_seen(issue.first), latest=tuple(map(_seen, issue.latest)))


def _seen(run: Occurrence) -> issues.SeenRun:
    return issues.SeenRun(
        run=run.run,
        number=run.number,
        build_url=run.build_url,
        launches=run.launches,
        at=run.at,
        suite=run.suite,
        branch=run.branch,
        commit=run.commit,
        tests=run.tests,
    )

"""What the targets have, as snapshot: launches with their items and logs, issues with their comments, messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.reportportal.state import FLAKY_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.chaos.snapshot import Comparable, Key
    from testbus_sandbox import Sandbox

#: A run's id in a text.
_RUN: Final = re.compile(r"chaos:\d+:\d+:\d+")

#: What an issue says of the run that it was filed for: whichever came first.
_FILED_FOR: Final = re.compile(r"testbus show \S+ shows the run that it was filed for")

#: What a message says of an issue that depends on which run filed it first.
_ISSUE_NEWS: Final = "🎫"
_ISSUE_ACTION: Final = re.compile(r" (was created|stands for) .*?(?=: )")


def causes(sandbox: Sandbox) -> dict[str, str]:
    """Return which cause each issue stands for, by its key."""
    return {issue.key: issue.summary for issue in sandbox.jira.issues}


def observed(sandbox: Sandbox, comparable: Comparable) -> Iterator[tuple[Key, Any]]:
    """Yield everything that the targets have."""
    for portal in sandbox.reportportals:
        for launch in portal.launches:
            yield from _launch(f"ReportPortal {portal.name}", launch, comparable)
    yield from _issues(sandbox, comparable)
    yield from _messages(sandbox, comparable)


def _launch(where: str, launch: Any, comparable: Comparable) -> Iterator[tuple[Key, Any]]:
    """Yield a launch; what has an id that follows from the server's address is called by its name."""
    run = (_RUN.findall(launch.description or "") or ["a launch without a run"])[0]
    yield (
        (where, "launch", run),
        {
            "name": launch.name,
            "status": launch.status,
            "description": comparable.text(launch.description or ""),
            "times": comparable.of([launch.start_time, launch.end_time]),
            "attributes": _attributes(launch.attributes, comparable),
        },
    )
    names = {item.uuid: item.name for item in launch.items}
    for item in launch.items:
        # The place of a result: variant, shard and attempt are attributes.
        place = (run, item.name, *_attributes(item.attributes, comparable), "retry" if item.retry_of else "")
        content = {
            "type": item.type,
            "status": item.status,
            "description": comparable.text(item.description or ""),
            "times": comparable.of([item.start_time, item.end_time]),
            "parent": item.parent and names.get(item.parent, "elsewhere"),
            "case": item.test_case_id,
            "defect": item.issue and item.issue.issue_type,
            "tickets": sorted(comparable.text(one.ticket_id) for one in item.issue.external) if item.issue else [],
        }
        yield (where, "item", *place), content
        for entry in item.logs:
            said = [entry.level, comparable.text(entry.message), comparable.of(entry.time)]
            yield (where, "log", *place), said
    for entry in launch.logs:
        yield (where, "log of a launch", run), [entry.level, comparable.text(entry.message)]


def _attributes(attributes: Any, comparable: Comparable) -> list[str]:
    # Whether a test was known to be flaky when it was reported depends on what was reported before.
    kept = (one for one in attributes if one.key != FLAKY_ATTRIBUTE[0])
    return sorted(f"{one.key}={comparable.text(one.value)}{' (system)' * one.system}" for one in kept)


def _issues(sandbox: Sandbox, comparable: Comparable) -> Iterator[tuple[Key, Any]]:
    for issue in sandbox.jira.issues:
        content = {
            "type": issue.type.name,
            "status": issue.status.name,
            "labels": sorted(issue.labels),
            "description": _FILED_FOR.sub("", comparable.text(issue.text)),
        }
        yield ("Jira", "issue", issue.summary), content
        # Whichever run came first is told by the issue itself, each of the others by a comment.
        met = set(_RUN.findall(issue.text))
        for comment in issue.comments:
            told = set(_RUN.findall(comment.text))
            met -= told
            yield ("Jira", "told", issue.summary, *sorted(told)), True
        for run in sorted(met):
            yield ("Jira", "told", issue.summary, run), True


def _messages(sandbox: Sandbox, comparable: Comparable) -> Iterator[tuple[Key, Any]]:
    messages = sandbox.slack.messages
    runs = {message.ts: _run(message) for message in messages}
    for message in messages:
        if message.thread_ts is None:
            yield ("Slack", "message", _run(message)), [message.channel.name, comparable.text(message.text)]
            continue
        text = comparable.text(message.text)
        news = _ISSUE_ACTION.sub("", text.partition("\n")[0]) if text.startswith(_ISSUE_NEWS) else text
        yield ("Slack", "reply", _run(message), news), ["in the thread of", runs.get(message.thread_ts, "another")]


def _run(message: Any) -> str:
    return str(message.metadata["event_payload"]["run"]) if message.metadata else "a message without metadata"

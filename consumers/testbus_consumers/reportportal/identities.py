"""uuids that are chosen, not given: the same result has the same uuid, whoever sends it and however often.

ReportPortal keeps uuids unique over all of a server's projects; so server and project are part of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from testbus_consumers.reportportal.settings import ReportPortalTarget
    from testbus_schemas import ResultKey, RunContext


@dataclass(frozen=True, kw_only=True)
class Identities:
    """The uuids of one run at one target."""

    #: What every uuid begins with: server, its project, name of the target.
    scope: tuple[str, ...]
    #: Project of the run.
    project: str
    #: Run id.
    run: str
    #: The producer whose results these are, where another one reports the same part of the run: "" for the first.
    producer: str = ""

    @property
    def launch(self) -> str:
        """Return the launch's uuid."""
        return self._of("launch")

    def suite(self, *names: str) -> str:
        """Return the uuid of the suite with these names on its path; without any, that of retried tests."""
        return self._of("suite", *names) if names else self._of("retried")

    def item(self, key: ResultKey) -> str:
        """Return the uuid of a result's item."""
        return self._of_producer("item", *key[1:])

    def attempt(self, context: RunContext, node_id: str, attempt: int) -> str:
        """Return the uuid of the item of a test's attempt in the process that a context is of."""
        return self._of_producer("item", context.variant, context.shard_index, context.attempt, node_id, attempt)

    def step(self, key: ResultKey, number: int) -> str:
        """Return the uuid of the item of a result's step."""
        return self._of_producer("step", *key[1:], number)

    def log(self, key: ResultKey, index: int) -> str:
        """Return the uuid of the log entry number `index` of a result."""
        return self._of_producer("log", *key[1:], index)

    def file(self, event: str) -> str:
        """Return the uuid of the log entry of an attached file, from the id of the event that brought it."""
        return self._of("file", event)

    def _of_producer(self, kind: str, *parts: str | int) -> str:
        return self._of(kind, *parts, self.producer) if self.producer else self._of(kind, *parts)

    def _of(self, kind: str, *parts: str | int) -> str:
        return derived_id("reportportal", *self.scope, self.project, self.run, kind, *parts)


def identities_of(settings: ReportPortalTarget, queue: str, project: str, run: str) -> Identities:
    """Return the identities of a run at the target of the queue `reportportal.<target>`."""
    target = queue.partition(".")[2]
    return Identities(scope=(settings.endpoint, settings.project, target), project=project, run=run)

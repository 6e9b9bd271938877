"""Where a test stands in a launch: below which suites, and by which name, as ReportPortal's own pytest agent has it.

`flat` is that agent's default, `code` its option `rp_hierarchy_code`, and `directory` the same with
`rp_hierarchy_dirs`. By itself, that one only puts `::` between the directories of an item's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_consumers.reportportal import text
from testbus_consumers.store.run_key import RunKey
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from testbus_consumers.reportportal.settings import ReportPortalTarget, Tree
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
    def key(self) -> RunKey:
        """Return what names the run in tables."""
        return RunKey(self.project, self.run)

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


#: Suites above a test, at most: ReportPortal takes 64 levels, and a test has steps below it.
DEEPEST: Final = 32

#: Name of the suite that holds the last attempts of retried tests: ReportPortal takes retries only below a parent.
RETRIED: Final = "Retried tests"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite of a launch."""

    uuid: str
    #: Its name, as long as it may be.
    name: str
    #: Where its code is; None where it stands for none.
    code_ref: str | None = None
    #: Node id of its module or class; None where it is a directory, or stands for no code.
    node_id: str | None = None
    #: What it is for; None where its name says that.
    description: str | None = None
    #: uuid of the suite above; None directly below the launch.
    parent: str | None
    #: 1 directly below the launch.
    depth: int


@dataclass(frozen=True, kw_only=True)
class TreePlace:
    """Where a test stands."""

    #: Its name there.
    name: str
    #: The suites above it, outermost first.
    suites: tuple[Suite, ...] = ()


def place(tree: Tree, node_id: str, ids: Identities) -> TreePlace:
    """Return where a test stands: `pkg/test_a.py::TestA::test_p[0]` has the suites of its file and its class.

    A test whose node id names no file stands directly below the launch.
    """
    file, _, rest = node_id.partition("::")
    if tree == "flat" or not rest:
        return TreePlace(name=node_id)
    # What stands in brackets are parameters, whatever they look like.
    named, bracket, parameters = rest.partition("[")
    *classes, last = named.split("::")
    levels = _folders(file) if tree == "directory" else []
    levels.append(_Level(file.rpartition("/")[2] if levels else file, file, file))
    levels += (_Level(one, file, "::".join((file, *classes[:depth]))) for depth, one in enumerate(classes, 1))
    name = last + bracket + parameters
    return TreePlace(name=name if name.strip() else node_id, suites=_suites(tuple(_bounded(levels)), ids))


def retried(ids: Identities) -> Suite:
    """Return the suite of retried tests that have none of their own."""
    return Suite(
        uuid=ids.suite(),
        name=RETRIED,
        description="The last attempt of each test that was tried again; earlier ones are its retries.",
        parent=None,
        depth=1,
    )


class _Level(NamedTuple):
    """A suite's name, code reference and node id, as `Suite` has them."""

    name: str
    code_ref: str
    node_id: str | None = None


def _folders(file: str) -> list[_Level]:
    parts = file.split("/")
    return [_Level(part, "/".join(parts[: index + 1])) for index, part in enumerate(parts[:-1])]


def _bounded(levels: list[_Level]) -> list[_Level]:
    """Return the levels, those with a blank name left out, and the outermost joined if there are many."""
    levels = [level for level in levels if level.name.strip()]
    more = len(levels) - DEEPEST
    if more <= 0:
        return levels
    joined = levels[more]._replace(name="/".join(level.name for level in levels[: more + 1]))
    return [joined, *levels[more + 1 :]]


@lru_cache(maxsize=1024)
def _suites(levels: tuple[_Level, ...], ids: Identities) -> tuple[Suite, ...]:
    suites: list[Suite] = []
    for depth, (name, code_ref, node_id) in enumerate(levels, 1):
        suites.append(
            Suite(
                uuid=ids.suite(*(level.name for level in levels[:depth])),
                name=text.fit(name, text.ITEM_NAME),
                code_ref=text.clean(code_ref),
                node_id=node_id,
                parent=suites[-1].uuid if suites else None,
                depth=depth,
            )
        )
    return tuple(suites)

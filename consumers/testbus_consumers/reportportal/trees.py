"""Where a test stands in a launch: below which suites, and by which name, as ReportPortal's own pytest agent has it.

`flat` is that agent's default, `code` its option `rp_hierarchy_code`, and `directory` the same with
`rp_hierarchy_dirs`. By itself, that one only puts `::` between the directories of an item's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from testbus_consumers.reportportal import text

if TYPE_CHECKING:
    from testbus_consumers.reportportal.identities import Identities

#: How the items of a launch are arranged.
Tree = Literal["flat", "code", "directory"]

#: Suites above a test, at most: ReportPortal takes 64 levels, and a test has steps below it.
DEEPEST: Final = 32

#: Name of the suite that holds the last attempts of retried tests: ReportPortal takes retries only below a parent.
RETRIED: Final = "Retried tests"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite of a launch."""

    #: Its uuid.
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
class Place:
    """Where a test stands."""

    #: Its name there.
    name: str
    #: The suites above it, outermost first.
    suites: tuple[Suite, ...] = ()


def place(tree: Tree, node_id: str, ids: Identities) -> Place:
    """Return where a test stands: `pkg/test_a.py::TestA::test_p[0]` has the suites of its file and its class.

    A test whose node id names no file stands directly below the launch.
    """
    file, _, rest = node_id.partition("::")
    if tree == "flat" or not rest:
        return Place(name=node_id)
    # What stands in brackets are parameters, whatever they look like.
    named, bracket, parameters = rest.partition("[")
    *classes, last = named.split("::")
    levels = _folders(file) if tree == "directory" else []
    levels.append(_Level(file.rpartition("/")[2] if levels else file, file, file))
    levels += (_Level(one, file, "::".join((file, *classes[:depth]))) for depth, one in enumerate(classes, 1))
    name = last + bracket + parameters
    return Place(name=name if name.strip() else node_id, suites=_suites(tuple(_bounded(levels)), ids))


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

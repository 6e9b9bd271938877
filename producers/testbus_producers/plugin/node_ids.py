"""What tests are called: by their node id, and where several tests have the same, by which of them it is.

The same file twice on the command line (`--keep-duplicates`), a plugin that doubles the items, and `--dist each`, where
every worker of xdist runs all tests: each of these is a result of its own, and none an attempt of another.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class NodeIds:
    """The names of a session's tests. For one thread."""

    def __init__(self, *, each: bool = False) -> None:
        """With `each` every worker runs all tests."""
        self._each = each
        self._names: dict[str | None, list[str]] = {}
        #: Node ids that several tests of the session have.
        self.repeated: frozenset[str] = frozenset()
        self._begun: Counter[str] = Counter()

    @property
    def are_names(self) -> bool:
        """Tell whether all tests that were collected are called by their node id."""
        return not self._each and not self.repeated

    def collected(self, node_ids: Iterable[str], worker: str | None = None) -> Sequence[str] | None:
        """Return what the tests are called that a process, or the first worker, has collected.

        None where they were collected by another worker before.
        """
        if self._names and not (self._each and worker not in self._names):
            return None
        counted: Counter[str] = Counter()
        names = []
        for node_id in node_ids:
            counted[node_id] += 1
            number = counted[node_id]
            names.append(node_id if number == 1 else f"{node_id}#{number}")
        if self._each and worker is not None:
            names = [f"{name}@{worker}" for name in names]
        self._names[worker] = names
        self.repeated = frozenset(node_id for node_id, number in counted.items() if number > 1)
        return names

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Note that pytest begins with an item, and not with an attempt: with the next of those of one node id."""
        if item.nodeid in self.repeated:
            self._begun[item.nodeid] += 1

    def name_of(self, report: pytest.TestReport) -> str:
        """Return what the test of a report is called."""
        node_id = report.nodeid
        if self.are_names:
            return node_id
        known = report.__dict__
        index = known.get("item_index")
        worker = known["node"].gateway.id if "node" in known else None
        names = self._names.get(worker if self._each else next(iter(self._names), None), [])
        if type(index) is int and index < len(names) and names[index].startswith(node_id):
            return names[index]
        if self._each and worker is not None:
            return f"{node_id}@{worker}"
        number = self._begun[node_id]
        return node_id if number <= 1 else f"{node_id}#{number}"

"""Which component a file or a test belongs to: the same answer in gates, alarms and pages."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from testbus_consumers.filters import matches_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_consumers.records.coverage import FileSums
    from testbus_consumers.settings import ComponentSettings

#: What everything together is called.
TOTAL: Final = "total"

#: What is called so that belongs to no component.
OTHER: Final = "other"


class Placing:
    """Where the files and tests of one run belong: to the first component that fits, in the configuration's order."""

    def __init__(self, components: Mapping[str, ComponentSettings], whole: str | None = None) -> None:
        """Take the configuration's components; all of a run whose context names a component, `whole`, belongs to it."""
        self._components = components
        self._whole = whole
        self._node_ids = any("::" in glob for one in components.values() for glob in one.tests)
        self._known: dict[str, str | None] = {}

    def __bool__(self) -> bool:
        """Tell whether there is any component."""
        return bool(self._components or self._whole)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the components in their order; one that only the run names is the last."""
        return tuple(dict.fromkeys((*self._components, *([self._whole] if self._whole else []))))

    def of_file(self, path: str) -> str | None:
        """Return the component of a file (forward slashes, from the repository's top); None when it is of none."""
        if self._whole:
            return self._whole
        return next((name for name, one in self._components.items() if matches_path(path, one.paths)), None)

    def of_test(self, node_id: str) -> str | None:
        """Return the component of a test; None when it is of none.

        A glob with `::` is held against the node id, any other against the file in it.
        """
        if self._whole:
            return self._whole
        # Many tests are in few files: without globs of node ids each file is looked at once.
        key = node_id if self._node_ids else node_id.partition("::")[0]
        if key not in self._known:
            file = node_id.partition("::")[0]
            self._known[key] = next(
                (
                    name
                    for name, one in self._components.items()
                    if any(matches_path(node_id if "::" in glob else file, (glob,)) for glob in one.tests)
                ),
                None,
            )
        return self._known[key]

    def by_file(self, files: Iterable[FileSums]) -> dict[str | None, list[FileSums]]:
        """Return the files of each component that has any; under None those of none."""
        found: dict[str | None, list[FileSums]] = defaultdict(list)
        for file in files:
            found[self.of_file(file.path)].append(file)
        return dict(found)

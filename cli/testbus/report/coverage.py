"""Coverage by component, and how it changed."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from testbus.report.model import Component, Coverage
from testbus_consumers.components import OTHER, TOTAL
from testbus_consumers.records.coverage import covered, merge_coverage, percent
from testbus_consumers.wording import numbers
from testbus_schemas import MalformedEventError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus.report.model import Earlier
    from testbus_consumers.components import Placing
    from testbus_consumers.records.coverage import FileSums

#: Name of what lies in no folder.
_TOP: Final = "."


def files_of(rows: Iterable[Mapping[str, Any]]) -> tuple[FileSums, ...]:
    """Return the files of all rows, each added up; a row whose line sets cannot be read is left out."""
    found = list(rows)
    try:
        return merge_coverage(found)
    except MalformedEventError:
        return merge_coverage(row for row in found if _readable(row))


def summarize(
    files: Sequence[FileSums],
    before: Sequence[FileSums] = (),
    earlier: Earlier | None = None,
    placing: Placing | None = None,
) -> Coverage | None:
    """Return coverage by component, compared with the files of an earlier run; None when nothing was measured.

    Components are those of `placing`, in the configuration's order, and then what is of none. Without any, a component
    is a folder right below the one that all files share: the top-level packages of a repository, or the subpackages of
    its only package. Files right in the shared folder are a component of that name.
    """
    if not files:
        return None
    if placing:
        now, then = _placed(files, placing), _placed(before, placing)
        names = [name for name in dict.fromkeys((*placing.names, OTHER)) if name in now]
    else:
        shared = _shared_folder([file.path for file in files])
        now, then = _by_folder(files, shared), _by_folder(before, shared)
        names = sorted(now)
    return Coverage(
        total=_component(TOTAL, files, before),
        components=tuple(_component(name, now[name], then.get(name, ())) for name in names),
        earlier=earlier if before else None,
    )


def _placed(files: Iterable[FileSums], placing: Placing) -> dict[str, list[FileSums]]:
    found: dict[str, list[FileSums]] = defaultdict(list)
    for name, placed in placing.by_file(files).items():
        found[OTHER if name is None else name] += placed
    return found


def _readable(row: Mapping[str, Any]) -> bool:
    try:
        merge_coverage([row])
    except MalformedEventError:
        return False
    return True


def _shared_folder(paths: Sequence[str]) -> str:
    folders = [posixpath.dirname(path).split("/") for path in paths]
    shared = posixpath.commonprefix(folders)
    return "/".join(shared)


def _by_folder(files: Iterable[FileSums], shared: str) -> dict[str, list[FileSums]]:
    found: dict[str, list[FileSums]] = defaultdict(list)
    for file in files:
        found[_folder_of(file.path, shared)].append(file)
    return found


def _folder_of(path: str, shared: str) -> str:
    """Return the folder that a file is shown under; of one outside of the shared folder (of an earlier run) the top."""
    prefix = f"{shared}/" if shared else ""
    inside = path.removeprefix(prefix) if path.startswith(prefix) else path
    below, slash, _ = inside.partition("/")
    if inside is path and prefix:
        return below if slash else _TOP
    return f"{prefix}{below}" if slash else shared or _TOP


def _component(name: str, files: Sequence[FileSums], before: Sequence[FileSums]) -> Component:
    ran, could = covered(files).total
    exact = percent((ran, could))
    change = numbers.change(exact, percent(covered(before).total)) if before else None
    return Component(name=name, files=len(files), covered=ran, coverable=could, percent=exact, change=change)

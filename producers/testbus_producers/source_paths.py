"""Where measured files are in the repository, wherever they were when they were measured.

A container's `/app/src`, an agent's checkout and an installed package are one and the same source; coverage of them
unites only under one path. A path is the repository's, relative to its top: because the file is there, because a rule
says so, or because the list of git's files leaves no other. What is not clear stays as it was, and is named.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from testbus_producers.context import git
from testbus_schemas.path_rules import PathRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from testbus_producers.context.git import Repository

#: A path that begins at the root of a file system, of whatever system.
_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:/")

#: A path that leads out of the project.
_OUTSIDE: Final = re.compile(rf"{_ABSOLUTE.pattern}|\.\./")

#: A drive of Windows in the path of a `file://` address.
_DRIVE: Final = re.compile(r"/[A-Za-z]:[\\/]")

#: Copies of sources that lie in many a working copy.
_INSTALLED: Final = re.compile(r"(?:^|/)(?:site-packages|dist-packages|build/lib[^/]*)/")

#: Where systems keep what is nobody's source.
_SYSTEM: Final = re.compile(r"/usr/(?:local/)?(?:include|lib\w*)/|/Library/|/Applications/|/rustc/")

#: Files of one name in a repository above which it tells nothing.
_MOST_NAMESAKES: Final = 2000


class _Move(NamedTuple):
    """One folder that would be another."""

    #: Where something was measured, with a slash at its end; empty: relative paths.
    measured: str
    #: The folder of the repository, with a slash at its end; empty: its top.
    placed: str


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Measured files, and where they are."""

    #: Name as it was measured → path.
    paths: Mapping[str, str]
    #: Names that are no file of the repository, sorted.
    unmatched: tuple[str, ...]

    @property
    def warning(self) -> str | None:
        """Return what to say of those that match no file; None when there are none."""
        if not self.unmatched:
            return None
        return (
            f"{len(self.unmatched)} of {len(self.paths)} measured files match no file of the repository, the first is "
            f"{self.unmatched[0]}: if it is one, say where by --paths FOLDER=FOLDER or TESTBUS_PATHS"
        )


class SourcePaths:
    """Places the files that one report names."""

    def __init__(self, root: Path, rules: PathRules | None = None, repository: Repository | None = None) -> None:
        """Place files below the project's folder `root`; in `repository`, where there is one."""
        self._root = root.as_posix().rstrip("/") + "/"
        self._real = root.resolve().as_posix().rstrip("/") + "/"
        self._top = (repository.top.as_posix().rstrip("/") + "/") if repository else self._real
        #: Folder that placed paths are relative to.
        self.folder = repository.top if repository else root
        self._files = repository.files if repository else None
        self._rules = rules or PathRules()

    @classmethod
    def in_repository(cls, root: Path, rules: PathRules | None = None) -> SourcePaths:
        """Return one that knows the files of the repository that `root` is in, if git says so."""
        return cls(root, rules, git.repository(root))

    def place(self, names: Iterable[str], sources: Sequence[str] = ()) -> Placed:
        """Return where files are; relative names are relative to one of the `sources`, or to the project's folder."""
        forms = {name: self._forms(name, sources) for name in names}
        paths = {name: path for name in forms if (path := self._certain(forms[name])) is not None}
        left = {name: forms[name] for name in forms if name not in paths}
        if left and self._files is not None:
            paths |= self._moved(left, alone=len(forms) == 1)
        kept = {name: self._kept(left[name], sources) for name in left if name not in paths}
        # Without a list of files only what is outside of the project is known to be none of its.
        if self._files is None:
            lost = sorted(name for name, path in kept.items() if _OUTSIDE.match(path))
        else:
            lost = sorted(name for name, path in kept.items() if _OUTSIDE.match(path) or not self._is_there(path))
        return Placed(paths=paths | kept, unmatched=tuple(lost))

    def _forms(self, name: str, sources: Sequence[str]) -> tuple[str, ...]:
        """Return the paths that a name may stand for, first the likeliest; the last is the name itself."""
        plain = normal(name)
        if plain.startswith(self._root):
            # The project's folder may have several names, by links; git knows one.
            return (self._real + plain.removeprefix(self._root), plain)
        if _ABSOLUTE.match(plain):
            return (plain,)
        joined = [posixpath.normpath(posixpath.join(normal(source), plain)) for source in sources if source]
        return (*joined, posixpath.normpath(self._real + plain), plain)

    def _certain(self, forms: Sequence[str]) -> str | None:
        """Return the path that a rule says, or where the file is."""
        for form in forms:
            ruled = self._rules.apply(form)
            if ruled is not None:
                return posixpath.normpath(ruled)
        for form in forms:
            inside = form.removeprefix(self._top) if form.startswith(self._top) else None
            if inside is None and not _ABSOLUTE.match(form):
                inside = form
            if inside is None:
                continue
            if inside in (self._files or ()) or (self._is_there(inside) and not _INSTALLED.search(inside)):
                return inside
        return None

    def _is_there(self, path: str) -> bool:
        return (self.folder / path).is_file()

    def _moved(self, left: Mapping[str, Sequence[str]], *, alone: bool) -> dict[str, str]:
        """Return paths of files that were measured in another folder: by the one move that most of it agrees on."""
        files = _by_name(self._files or ())
        moves = {name: dict(_moves(forms, files)) for name, forms in left.items()}
        votes = Counter(move for found in moves.values() for move in found)
        below = Counter(folder for forms in left.values() for folder in {up for form in forms for up in _ups(form)})
        found: dict[str, str] = {}
        for name, candidates in moves.items():
            best: dict[str, tuple[int, int]] = {}
            for move, (length, path) in candidates.items():
                if votes[move] * 2 >= below[move.measured]:
                    best[path] = max(best.get(path, (0, 0)), (votes[move], length))
            ranked = sorted(best, key=best.__getitem__, reverse=True)
            if not ranked or (len(ranked) > 1 and best[ranked[0]] == best[ranked[1]]):
                continue
            agreed, length = best[ranked[0]]
            # One name in common may be anybody's, unless more of the folder say the same.
            if length > 1 or agreed > 1 or alone:
                found[name] = ranked[0]
        return found

    def _kept(self, forms: Sequence[str], sources: Sequence[str]) -> str:
        """Return the path of a file that is nowhere: relative to the project or to its source, if it is in one."""
        for form in forms:
            if form.startswith(self._top):
                return form.removeprefix(self._top)
        folders = [normal(source).rstrip("/") + "/" for source in sources if source]
        name = forms[-1]
        return next((name.removeprefix(folder) for folder in folders if name.startswith(folder)), name)


def normal(path: str) -> str:
    """Return a path as a report names it, with forward slashes, without `.` and `..`."""
    plain = path
    if plain.lower().startswith("file://"):
        plain = unquote(plain[len("file://") :])
        plain = plain[1:] if _DRIVE.match(plain) else plain
    return posixpath.normpath(plain.replace("\\", "/")) if plain else plain


def _by_name(files: Iterable[str]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = defaultdict(list)
    for file in files:
        parts = file.split("/")
        found[parts[-1]].append(parts)
    return found


def _moves(forms: Sequence[str], files: Mapping[str, list[list[str]]]) -> Iterator[tuple[_Move, tuple[int, str]]]:
    """Yield the moves that would make a file of the repository of a name, with how many parts they have in common."""
    for form in forms:
        parts = form.split("/")
        namesakes = files.get(parts[-1], [])
        if _SYSTEM.match(form) or len(namesakes) > _MOST_NAMESAKES:
            continue
        for file in namesakes:
            length = 0
            while length < min(len(parts), len(file)) and parts[-1 - length] == file[-1 - length]:
                length += 1
            measured, placed = parts[: len(parts) - length], file[: len(file) - length]
            move = _Move("".join(f"{part}/" for part in measured), "".join(f"{part}/" for part in placed))
            yield move, (length, "/".join(file))


def _ups(form: str) -> Iterator[str]:
    """Yield the folders that a path is in, each with a slash at its end; for a relative path also the empty one."""
    if not _ABSOLUTE.match(form):
        yield ""
    for at, letter in enumerate(form):
        if letter == "/":
            yield form[: at + 1]

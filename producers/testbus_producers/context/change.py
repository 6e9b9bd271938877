"""What a run's tree changes: the merge base with the target branch, and what differs from it, as git says it.

Everything is asked in the working copy, nothing is fetched. What git does not know (a shallow clone), or what is more
than an event may hold, is left out, and the data say so.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.context.git import Git
from testbus_schemas.wire import (
    MAX_ANCESTORS,
    MAX_CHANGE_BYTES,
    MAX_CHANGED_FILES,
    MAX_CODEOWNERS_BYTES,
    MAX_COMMIT_TEXT,
    MAX_COMMITS,
    MAX_FUNCTIONS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from testbus_producers.redaction.cleaner import Cleaner

#: Bound in seconds of all that git is asked.
SECONDS: Final = 10.0

#: Where CODEOWNERS may be, in the order in which GitHub and GitLab look.
_CODEOWNERS: Final = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")

#: Branches that others usually go to.
_USUAL: Final = ("main", "master")

#: Bytes of the names of Python files that are parsed for their functions, and of all of their sources.
_MAX_NAMES: Final = 24 * 1024
_MAX_SOURCES: Final = 2 * 1024 * 1024

#: Highest line, and characters of the line set of one file.
_MAX_LINE: Final = 1_000_000
_MAX_LINES: Final = 8 * 1024

#: Characters of a branch.
_MAX_TARGET: Final = 256

#: Characters of a path.
_MAX_PATH: Final = 4096

#: Room for what is said of what was left out, in bytes.
_CUT_BYTES: Final = 4 * 1024

#: What git calls what became of a file.
_KINDS: Final = {"A": "added", "M": "modified", "D": "deleted", "R": "renamed", "C": "copied", "T": "type_changed"}

#: Years that can be reckoned with everywhere: a commit may claim any.
_YEARS: Final = range(1970, 9000)

_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")

#: First line and number of lines before and after, and what git takes for the function around them.
_HUNK: Final = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")

#: What git is told so that no configuration changes the form of a difference, and no program of the repository runs.
_DIFF: Final = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--no-abbrev", "-M"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=default", "--inter-hunk-context=0", "-U0"),
)


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """What is compared."""

    #: The commit that is checked out, and its parents, also those that a shallow clone does not have.
    tree: str
    parents: Sequence[str]
    #: Branch or commit that it goes to, and the commit that this is; None where it is not known.
    target: str | None
    tip: str | None
    #: What the tree is compared with; None where it is not known.
    merge_base: str | None
    shallow: bool


@dataclass
class _File:
    """One file that differs."""

    kind: str
    old_path: str | None = None
    #: First and last line of what is new or changed, and of what is gone without a trace, there in the old file.
    added: list[tuple[int, int]] = field(default_factory=list)
    deleted: list[tuple[int, int]] = field(default_factory=list)
    #: What git takes for the functions around these.
    headings: list[str] = field(default_factory=list)


def describe(
    folder: Path,
    context: Mapping[str, Any],
    clean: Cleaner,
    *,
    email: bool = False,
    seconds: float = SECONDS,
    hurry: Callable[[], float | None] | None = None,
) -> dict[str, Any] | None:
    """Return the data of `change.recorded`; None without git, outside of a repository, or before its first commit.

    The context says what the tree is compared with (`base`), and which commit was asked for (`commit`). `email` names
    authors with their addresses; for `hurry` see `Git`.
    """
    git = Git(folder, seconds=seconds, hurry=hurry)
    cut: list[str] = []
    sides = _sides(git, context, cut)
    if sides is None:
        return None
    data: dict[str, Any] = {
        "tree": sides.tree,
        "target": sides.target,
        "merge_base": sides.merge_base,
        "ancestors": _first_parents(git, sides.tree)[1:],
        "shallow": sides.shallow,
    }
    if sides.merge_base is not None:
        data["target_ancestors"] = _first_parents(git, sides.merge_base)[1:]
        data["commits"] = _commits(git, sides, clean, email=email, cut=cut)
        data["files"] = _files(git, sides, clean, cut)
    elif sides.tip is not None:
        data["target_ancestors"] = _first_parents(git, sides.tip)[:MAX_ANCESTORS]
    top = git.text("rev-parse", "--show-toplevel")
    data["codeowners"] = _codeowners(Path(top), clean, cut) if top else None
    if git.late:
        cut.append("git took too long: what it did not say in time is left out")
    return _fitting(data, cut)


def _sides(git: Git, context: Mapping[str, Any], cut: list[str]) -> _Sides | None:
    """Return what is compared; why a side of it is not known goes to `cut`."""
    known = (git.text("rev-parse", "--is-shallow-repository", "HEAD") or "").split()
    commit = git.text("cat-file", "commit", "HEAD")
    if len(known) != 2 or commit is None:  # noqa: PLR2004 one word for each question
        return None
    shallow, tree = known[0] == "true", known[1]
    # The text of the commit has parents that a shallow clone does not.
    parents = re.findall(r"^parent ([0-9a-f]+)$", commit.partition("\n\n")[0], re.MULTILINE)
    target, tip = _target(git, context.get("base"))
    # A trial merge of a pull request: its first parent is the target, as it was then.
    is_trial = len(parents) > 1 and context.get("commit") in parents[1:]
    merge_base = parents[0] if is_trial else git.text("merge-base", tree, tip) if tip else None
    if merge_base == tree:
        # A run of the target itself: what it changes is what its own commit does.
        merge_base = parents[0] if parents else None
    elif merge_base is None:
        cut.append(_unknown_base(target, tip, shallow=shallow))
    return _Sides(tree=tree, parents=parents, target=target, tip=tip, merge_base=merge_base or None, shallow=shallow)


def _target(git: Git, base: str | None) -> tuple[str | None, str | None]:
    """Return the branch or commit to compare with, by what was named, else the default branch; and which commit it is.

    A branch is that of the remote, as far as it was fetched: the one here may be old.
    """
    if base and _COMMIT.fullmatch(base) and (commit := git.text("rev-parse", "-q", "--verify", f"{base}^{{commit}}")):
        return base, commit
    names = [base.removeprefix("origin/")] if base else _USUAL
    refs = [f"refs/{place}/{name}" for name in names for place in ("remotes/origin", "heads")]
    wanted = refs if base else ["refs/remotes/origin/HEAD", *refs]
    form = "%(refname)%00%(objectname)%00%(symref)"
    listed = [line.split("\0") for line in (git.text("for-each-ref", f"--format={form}", *wanted) or "").splitlines()]
    found = {ref: (commit, symref or ref) for ref, commit, symref in (line for line in listed if len(line) == 3)}  # noqa: PLR2004 three words
    for ref in wanted:
        if ref in found:
            commit, name = found[ref]
            return base or re.sub(r"^refs/(?:remotes/origin|heads)/", "", name)[:_MAX_TARGET], commit
    return base, None


def _unknown_base(target: str | None, tip: str | None, *, shallow: bool) -> str:
    if shallow:
        return (
            f"the clone is shallow, and the merge base with {target or 'the target branch'} is not in it: fetch the "
            "whole history (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0)"
        )
    if target is None:
        return "no target branch is known: set TESTBUS_BASE"
    if tip is None:
        return f"the target {target} was not fetched: fetch it, or set TESTBUS_BASE"
    return f"the tree and the target {target} have no commit in common"


def _first_parents(git: Git, commit: str) -> list[str]:
    """Return a commit and its first parents, the nearest first; nothing for one that is not there."""
    listed = git.text("rev-list", "--first-parent", f"--max-count={MAX_ANCESTORS + 1}", commit, "--")
    return (listed or "").split()


def _commits(git: Git, sides: _Sides, clean: Cleaner, *, email: bool, cut: list[str]) -> list[dict[str, Any]]:
    """Return the commits since the merge base, the newest first, without merges."""
    form = "%H%x1f%aN%x1f%aE%x1f%aI%x1f%s"
    span = (sides.tree, f"^{sides.merge_base}")
    output = git.text("log", "-z", "--no-merges", f"--max-count={MAX_COMMITS + 1}", f"--format={form}", *span, "--")
    if output is None:
        cut.append("commits: git does not know them" + (", the clone is shallow" if sides.shallow else ""))
    commits = []
    for line in (output or "").split("\0"):
        fields = line.split("\x1f", 4)
        if len(fields) == 5:  # noqa: PLR2004 as many as the form has
            commit, name, address, at, subject = fields
            # Some call themselves by their address.
            author = f"{name} <{address}>" if email else name.partition("@")[0]
            author, subject = clean.value(author)[:MAX_COMMIT_TEXT], clean.value(subject)[:MAX_COMMIT_TEXT]
            commits.append({"id": commit, "author": author, "subject": subject, "at": _moment(at)})
    if len(commits) > MAX_COMMITS:
        cut.append(f"commits: only the latest {MAX_COMMITS}")
    return commits[:MAX_COMMITS]


def _moment(text: str) -> str | None:
    """Return a moment as git writes it, if it is one: a name may hold what separates it from the next field."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return text if moment.year in _YEARS and moment.tzinfo is not None else None


def _files(git: Git, sides: _Sides, clean: Cleaner, cut: list[str]) -> list[dict[str, Any]]:
    """Return the files that differ from the merge base, by path, with lines and functions."""
    output = git.output(
        "-c", "diff.relative=false", "diff", "--raw", "-p", "-z", *_DIFF, str(sides.merge_base), sides.tree, "--"
    )
    if output is None:
        cut.append("files: git cannot compare them" + (", the clone is shallow" if sides.shallow else ""))
        return []
    raw, _, patch = output.partition(b"\0\0")
    files = _raw_files(raw)
    if git.too_much:
        cut.append("lines: the difference is too large, those of some files are left out")
    _add_hunks(files, patch)
    functions = _functions(git, sides, files)
    found, every = [], True
    for path in sorted(files):
        file = files[path]
        names = functions.get(path, file.headings)
        lines, whole = _line_set(file.added)
        every = every and whole
        data: dict[str, Any] = {"path": path, "old_path": file.old_path, "kind": file.kind, "added": lines}
        data["functions"] = list(dict.fromkeys(clean.value(name)[:MAX_COMMIT_TEXT] for name in names))[:MAX_FUNCTIONS]
        found.append({name: value for name, value in data.items() if value})
    if not every:
        cut.append("lines: of some files only the first")
    return found


def _line_set(spans: Iterable[tuple[int, int]]) -> tuple[str, bool]:
    """Return spans as `1-5,8`, as far as there is room, and whether that is all of them."""
    text = ""
    for first, last in spans:
        more = f"{first}-{last}" if last > first else f"{first}"
        if last > _MAX_LINE or len(text) + len(more) >= _MAX_LINES:
            return text, False
        text = f"{text},{more}" if text else more
    return text, True


def _raw_files(raw: bytes) -> dict[str, _File]:
    """Return the files of `git diff --raw -z`, by path."""
    fields = iter(raw.decode("utf-8", "replace").split("\0"))
    files: dict[str, _File] = {}
    for head in fields:
        letter = head.rpartition(" ")[2][:1]
        if not head.startswith(":"):
            break
        before = next(fields, "")
        path = next(fields, "") if letter in {"R", "C"} else before
        if path and max(len(path), len(before)) <= _MAX_PATH:
            files[path] = _File(_KINDS.get(letter, "modified"), before if path != before else None)
    return files


def _add_hunks(files: Mapping[str, _File], patch: bytes) -> None:
    """Add lines and headings from a patch without context; lines of content are counted, whatever they look like."""
    file: _File | None = None
    lines = iter(patch.split(b"\n"))
    for line in lines:
        if line.startswith(b"+++ "):
            # A path with a blank ends with a tab.
            path = line[4:].removesuffix(b"\t").decode("utf-8", "replace")
            file = files.get(path.removeprefix("b/")) if path.startswith("b/") else None
        hunk = _HUNK.match(line)
        if hunk is None:
            continue
        old, gone, first, new = int(hunk[1]), int(hunk[2] or 1), int(hunk[3]), int(hunk[4] or 1)
        for _ in range(gone + new):
            next(lines, None)
        if file is None:
            continue
        if new:
            file.added.append((first, first + new - 1))
        else:
            file.deleted.append((old, old + gone - 1))
        if heading := hunk[5].decode("utf-8", "replace").strip():
            file.headings.append(heading)


def _functions(git: Git, sides: _Sides, files: Mapping[str, _File]) -> dict[str, list[str]]:
    """Return the functions of Python files in which lines differ, by path; none of a file that cannot be parsed.

    Where lines are only gone, the old file says in which.
    """
    wanted: list[tuple[str, list[tuple[int, int]]]] = []
    asked = b""
    for path, file in files.items():
        before = f"{sides.merge_base}:{file.old_path or path}"
        for name, lines in ((f"{sides.tree}:{path}", file.added), (before, file.deleted)):
            more = f"{name}\n".encode("utf-8", "replace")
            is_python = name.endswith((".py", ".pyi")) and "\n" not in name
            if lines and is_python and file.kind != "deleted" and len(asked) + len(more) <= _MAX_NAMES:
                wanted.append((path, lines))
                asked += more
    output = (git.output("cat-file", "--batch", given=asked, most=_MAX_SOURCES) or b"") if wanted else b""
    found: dict[str, list[str]] = {}
    for (path, lines), source in zip(wanted, _contents(output), strict=False):
        spans = _spans(source)
        if spans is not None:
            found.setdefault(path, []).extend(_touched(spans, lines))
    return found


def _contents(output: bytes) -> Iterator[bytes]:
    """Yield the files in what `git cat-file --batch` says."""
    at = 0
    while (end := output.find(b"\n", at)) >= 0:
        size = output[at:end].rpartition(b" ")[2]
        length = int(size) if size.isdigit() else -1
        if length >= 0 and end + 1 + length > len(output):
            return
        yield output[end + 1 : end + 1 + max(length, 0)]
        at = end + length + 2


def _spans(source: bytes) -> list[tuple[int, int, str]] | None:
    """Return first line, last line and qualified name of each function of a module; None where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    spans: list[tuple[int, int, str]] = []
    waiting: list[tuple[ast.AST, str]] = [(module, "")]
    while waiting:
        node, prefix = waiting.pop()
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}."
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
                spans.append((first, child.end_lineno or first, name[:-1]))
            waiting.append((child, name))
    return sorted(spans)


def _touched(spans: Iterable[tuple[int, int, str]], lines: Iterable[tuple[int, int]]) -> list[str]:
    """Return the functions that some lines are in, for each line the innermost one."""
    # An inner function begins behind the outer one, and takes its lines from it.
    inside = {line: name for first, last, name in spans for line in range(first, last + 1)}
    touched = (inside.get(line) for first, last in lines for line in range(first, last + 1))
    return list(dict.fromkeys(name for name in touched if name is not None))


def _codeowners(top: Path, clean: Cleaner, cut: list[str]) -> str | None:
    """Return the text of CODEOWNERS, whole lines of it."""
    for name in _CODEOWNERS:
        try:
            with (top / name).open("rb") as file:
                text = file.read(MAX_CODEOWNERS_BYTES + 1)
        except OSError:
            continue
        if len(text) > MAX_CODEOWNERS_BYTES:
            cut.append(f"codeowners: only its first {MAX_CODEOWNERS_BYTES // 1024} KiB")
            text = text[:MAX_CODEOWNERS_BYTES].rpartition(b"\n")[0]
        return clean.redact(text.decode("utf-8", "replace").replace("\0", ""))[:MAX_CODEOWNERS_BYTES]
    return None


def _fitting(data: dict[str, Any], cut: list[str]) -> dict[str, Any]:
    """Return the data within their bounds, and what was left out for it."""
    files = data.get("files", [])
    if len(files) > MAX_CHANGED_FILES:
        cut.append(f"files: only {MAX_CHANGED_FILES} of {len(files)}")
        files = data["files"] = files[:MAX_CHANGED_FILES]
    room = MAX_CHANGE_BYTES - _CUT_BYTES
    if _size(data) > room and any("functions" in file for file in files):
        cut.append("functions: there is no room for them")
        for file in files:
            file.pop("functions", None)
    over = _size(data) - room
    if over > 0:
        total = len(files)
        while files and over > 0:
            over -= _size(files.pop()) + 1
        cut.append(f"files: only {len(files)} of {total}, there is no room for more")
    return {**data, "cut": cut}


def _size(data: Any) -> int:
    """Return how many bytes data have as JSON."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))

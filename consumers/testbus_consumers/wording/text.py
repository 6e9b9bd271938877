"""Texts from outside, as people read them: on one line, whole words, no machine's paths, short ids."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Stands for what was left out.
ELLIPSIS: Final = "…"

#: Characters of a name that is shown whole; of a longer one its parameters are left out, then its folders.
NAME_CHARS: Final = 300

#: Characters of what an exception says.
SAID_CHARS: Final = 200

#: Digits of a commit id that are shown.
_COMMIT_DIGITS: Final = 7

#: A commit id: of anything else, as a tag, the whole is shown.
_COMMIT: Final = re.compile(r"[0-9a-fA-F]{8,64}")

#: A UUID, and how much of a UUIDv7 tells its millisecond.
_UUID: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

#: Colours and other terminal commands.
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")

#: Characters that show nothing but change how the text around them shows, and what is shown in their place.
_INVISIBLE: Final[Mapping[int, int | None]] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
    **dict.fromkeys([*range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD),
    0x7F: 0x2421,
    # A line may end with \r\n.
    0x0D: None,
}

#: Where a word may end when one alone is too long.
_WORD_ENDS: Final = re.compile(r"[\s/\\,.:;_)\]}-]")

#: Roots of paths that only the machine knows which ran the tests, with the user's name where one follows.
_MACHINE: Final = re.compile(
    r"""(?<![\w.~/\\:-])(?:file://)?
    (?:/(?:home|Users|Volumes)/[^/\s'"]+|/(?:root|tmp|private|var|opt|usr|srv|mnt|nix|builds|workspaces?|__w|__t)
       |(?P<mount>/(?:agent|app|code|data|github|go|jenkins|repo|run|src|work))|[A-Za-z]:(?=[\\/]))
    (?P<rest>(?:[\\/][^\\/\s'":;,<>|()\[\]{}]+)+)""",
    re.VERBOSE,
)

#: Folders behind which a path says where a file is in its package.
_PACKAGES: Final = ("site-packages", "dist-packages", "node_modules")

#: Components of a machine's path that are kept: the folder and the file.
_KEPT_COMPONENTS: Final = 2

#: Characters of a URL that stay as they are.
_URL_SAFE: Final = ":/?#[]@!$&'()*+,;=%-._~"


def visible(text: str) -> str:
    """Return a text in which every character shows: no colours, no terminal commands, no change of direction."""
    return _ANSI.sub("", text).translate(_INVISIBLE)


def first_line(text: str) -> str:
    """Return the first line of a text that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def one_line(text: str, characters: int = NAME_CHARS) -> str:
    """Return a visible text on one line, cut between two words."""
    line = " ".join(visible(text).split())
    if len(line) <= characters:
        return line
    kept = line[: characters - 1]
    if not line[characters - 1].isspace():
        head = kept.rpartition(" ")[0]
        # One word fills most of it: it ends where it has a joint, or else where it must.
        ends = [match.end() for match in _WORD_ENDS.finditer(kept)]
        kept = head if len(head) > len(kept) // 2 else kept[: ends[-1]] if ends and ends[-1] > len(kept) // 2 else kept
    return kept.rstrip() + ELLIPSIS


def name(text: str, characters: int = NAME_CHARS) -> str:
    """Return a test's or a file's name: the whole of it, or else without parameters, or its last part."""
    line = " ".join(visible(text).split())
    if len(line) <= characters:
        return line
    bare, bracket, _ = line.partition("[")
    if bracket and len(bare) + 3 <= characters:
        return f"{bare}[{ELLIPSIS}]"
    last = re.split(r"::|/", bare)[-1]
    return f"{ELLIPSIS}{last}" if len(last) < characters else one_line(last, characters)


def without_machine(text: str) -> str:
    """Return a text in which a path of the machine that ran the tests is its last two parts: `…/data/orders.json`."""
    return _MACHINE.sub(_shortened, text)


def failure_text(kind: str, message: str, characters: int = SAID_CHARS) -> str:
    """Return the message of an exception, on one line: `KeyError: 'platinum'`; empty without type and message."""
    kind = kind.removeprefix("builtins.")
    line = without_machine(first_line(visible(message)))
    return one_line(": ".join(part for part in (kind, line) if part), characters)


def commit(value: str | None) -> str:
    """Return a short commit id; empty without one."""
    value = " ".join(visible(value or "").split())
    return value[:_COMMIT_DIGITS] if _COMMIT.fullmatch(value) else value


def run(run_id: str, number: str | None = None) -> str:
    """Return what people call a run: the number that its CI gave it, else its id, of which a UUID is shortened."""
    if number:
        return "#" + name(number.removeprefix("#"), 40)
    line = name(run_id)
    short = _UUID.fullmatch(line)
    return f"run {short[1] if short else line}"


def module(node_ids: Iterable[str]) -> str:
    """Return what tests have in common: their file or class, else the folder and how many modules there are."""
    modules = sorted({_module(node_id) for node_id in node_ids})
    if len(modules) < 2:  # noqa: PLR2004 one is named by itself
        return modules[0] if modules else ""
    separator = "/" if all("/" in one for one in modules) else "."
    parts = [one.split(separator)[:-1] for one in modules]
    shared = separator.join(posixpath.commonprefix(parts))
    return f"{shared} ({len(modules):,} modules)" if shared else f"{len(modules):,} modules"


def web_address(url: str | None) -> str | None:
    """Return a URL that may be made a link: only http and https, with what no URL may hold encoded."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return quote(url, safe=_URL_SAFE) if parts.scheme in {"http", "https"} and parts.netloc else None


def _module(node_id: str) -> str:
    """Return the part of a node id before the test: a file, or a class where the tool knows no files."""
    line = without_machine(" ".join(visible(node_id).partition("[")[0].split()))
    return name(line.partition("::")[0])


def _shortened(match: re.Match[str]) -> str:
    parts = re.split(r"[\\/]", match["rest"])[1:]
    if match["mount"] and "." not in parts[-1].strip("."):
        # It may as well be a path on a web server.
        return match[0]
    if parts[0] == "Users":
        parts = parts[2:]
    for folder in _PACKAGES:
        if folder in parts[:-1]:
            return "/".join(parts[parts.index(folder) + 1 :])
    return "/".join([ELLIPSIS, *parts[-_KEPT_COMPONENTS:]])

"""Why a test did not pass, from the elements that say so: type, message and text, whatever the tool put where.

The message's first line and the type are what a failure's fingerprint is made of, so they must tell one cause from
another: a tool that only writes `Failed` is read further, in the failure's text and the test's output.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbus_producers.redaction.cleaner import Cleaner
    from testbus_producers.report_files.xml_stream import Element

#: How pytest separates what it puts into one element.
_BANNER = re.compile(r"^-+ Captured (Log|Out|Err) -+\n", re.MULTILINE)

_BANNER_NAMES: Final = {"Log": "log", "Out": "stdout", "Err": "stderr"}

_ELEMENT_NAMES: Final = {"system-out": "stdout", "system-err": "stderr"}

#: The convention by which tools name attached files within output (Jenkins' JUnit Attachments, GitLab, Playwright).
_ATTACHMENT = re.compile(r"\[\[ATTACHMENT\|([^\]\n]+)\]\]\n?")

#: Bound of the attachments of one test.
_MAX_ATTACHMENTS: Final = 100


class Printed:
    """What one test, or one attempt of it, printed."""

    def __init__(self, elements: Iterable[Element]) -> None:
        """Take the elements that may hold output."""
        #: Paths of attached files, as the report has them.
        self.attachments: list[str] = []
        self._texts: dict[str, list[str]] = {}
        for element in elements:
            if element.tag not in _ELEMENT_NAMES:
                continue
            self.attachments += _ATTACHMENT.findall(element.text)[: _MAX_ATTACHMENTS - len(self.attachments)]
            for name, text in _sections(_ATTACHMENT.sub("", element.text), _ELEMENT_NAMES[element.tag]):
                known = self._texts.setdefault(name, [])
                if text not in known:
                    known.append(text)

    @property
    def last_line(self) -> str:
        """Return the last line that is not empty, of errors if there are any."""
        for name in ("stderr", "stdout", "log"):
            lines = [line.strip() for text in self._texts.get(name, ()) for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return ""

    def as_json(self, clean: Cleaner) -> list[dict[str, Any]]:
        """Return the texts as plain JSON data, redacted and bounded."""
        return [{"name": name, "text": clean.text("\n".join(texts))} for name, texts in self._texts.items()]


def _sections(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each part that is not empty."""
    parts = _BANNER.split(text)
    named = [
        (name, parts[0]),
        *((_BANNER_NAMES[title], part) for title, part in zip(parts[1::2], parts[2::2], strict=True)),
    ]
    for title, part in named:
        if part.strip():
            yield title, part.strip("\n")


#: Colours of a terminal, and how pytest writes them in XML, which forbids the escape character.
_COLOUR = re.compile(r"(?:\x1b|#x1B|\ufffd)\[[0-9;]*[A-Za-z]")

#: Messages that say nothing.
_EMPTY = re.compile(r"(?i)(?:test(?: case)? )?(?:|fail|failed|failure|error|errored)[.!]?|exception|see the log")

#: Types that say nothing: of any test, and nextest's, jasmine-reporters', QtTest's and node's.
_VAGUE = re.compile(
    r"|[Ff]ail(?:ure|ed)?|[Ee]rror|exception|expect|testCodeFailure|subtestsFailed|test (?:failure|abort)(?: with .*)?"
)

#: Elements inside of a failure that hold its text, or its message.
_TEXTS: Final = ("stackTrace", "stacktrace", "stack-trace", "trace")

#: How pytest says that a test was not to blame.
_PHASED = re.compile(r'(?s)failed on (setup|teardown) with "(.*)"$')

#: `ValueError: what`, `AssertionError [ERR_ASSERTION]: what`, `panic: what`.
_TYPED = re.compile(
    r"(?:Uncaught )?((?:[\w$]+[.\\])+[A-Z][\w$]*|panic|"
    r"[A-Z]?[\w$]*(?:Error|Exception|Failure|Failed|Fault|Timeout|Warning|Interrupt|Exit|Group))(?: \[\w+\])?: ?"
)

#: A line that only says where: `gt.cc:9`, `/tests/CartTest.php:15`, `unknown file`.
_PLACE = re.compile(r"(?:unknown file|\S+\.\w+:\d+(?::\d+)?:?)$")

#: `    cart_test.go:16: got 0`
_PLACED = re.compile(r"\A\s*[\w./-]+\.\w+:\d+(?::\d+)?:\s+(?=\S)")

#: What Go's tests say, and within it what testify says; nothing distinguishes it from what a test only logged.
_GO_SAID = re.compile(r"(?m)^[ \t]+\w+\.go:\d+: (.+)$|^[ \t]+Error:[ \t]+(.+)$")

#: Where the traceback of an exception in Python begins, also inside of a group's.
_PYTHON = re.compile(r"(?m)^[ |+]*(?:Exception Group )?Traceback \(most recent call last\):[ ]*$")

#: What of a group's traceback stands before each line.
_GROUPED = re.compile(r"^ *[|+][ -]?[-+]*")

#: Where what a Python test printed begins, behind its traceback, or an exception that followed.
_PYTHON_END = re.compile(r"Stdout:|Stderr:|During handling of|The above exception|-+ >> begin")

#: How Rust says where it panicked; what stands behind it (or, before Rust 1.73, within it) is why.
_RUST = re.compile(r"(?m)^thread '[^'\n]*'(?: \(\d+\))? (?:panicked|has overflowed) at (?:'(.*)', )?\S+:\d+:\d+:?$")

#: How Node says that a file of tests ended, which is all that it knows of it.
_NODE_EXIT = re.compile(r"(?m)^\s*(?:exitCode: ([1-9]\d*)|signal: '(SIG\w+)')")

#: Messages that only the text behind them tells apart (QtTest).
_INCOMPLETE = re.compile(r"(?i)compared \S+ are not the same|.*:")

#: Where a stack trace begins.
_STACK = re.compile(r"\s+at |\s*\u276f |goroutine \d|Traceback |\[cause\]|\t/|\s*\.\.\. \d+ more")

#: How Java, xUnit.net, .NET and Vitest say what an exception was raised from, and what that said.
_CAUSED = re.compile(
    r"(?m)^(?:Caused by: |-{4,} |[ ]*---> )(?:\[?)((?:[\w$]+[.\\])+[\w$]+|[\w$]*(?:Error|Exception))(?:[ ]?:[ ](.*))?$"
)

#: Bound of the exceptions that one was raised from.
_MAX_CHAIN: Final = 10

#: Lines that a runner writes around what the test said.
_FRAMING = re.compile(r"=== |\s*--- |\s*\[.*\] \u203a |[\s─-]+$")

#: What runners say when a test took too long.
_TIMEOUT = re.compile(
    r"(?i)test (?:function )?timed ?out|testtimed ?out|timed out after|timeout (?:of|>|\(>)|exceeded timeout|"
    r"test ?timeout|timeoutexceeded|timeout - async (?:function|callback)|did not complete within \d+ ?m?s|"
    r"(?:didn't|did not) finish within the time-?out|max time .{0,40}allotted|\A(?:timeout|timed out)[.!]?\Z"
)

#: How pytest says that a test passed that was expected to fail.
_XPASS: Final = "[XPASS(strict)]"

#: Lines of a text that may belong to its message.
_MESSAGE_LINES: Final = 20

#: Lines of a text that are added to a message that does not tell one cause from another.
_ADDED_LINES: Final = 3


def failure(element: Element, own_names: Iterable[str], fallback: str, clean: Cleaner) -> dict[str, Any]:
    """Return a failure as plain JSON data.

    `own_names` are lines that only repeat the test's name; `fallback` is the message when the element has none.
    """
    text = _text(element)
    phase, message = _phase(_COLOUR.sub("", element.get("message") or "\n".join(_inside(element, "message"))))
    kind = element.get("type")
    if _EMPTY.fullmatch(message.strip()) or _PYTHON.match(message) or _RUST.match(message):
        # Rust's message may say only where; Python's may be all of the text.
        message = _message(text if text.strip() else message, frozenset(own_names)) or fallback or message
    elif _INCOMPLETE.fullmatch(message.strip()):
        lines = (line for line in text.replace(message.strip(), "").splitlines() if not _STACK.match(line))
        more = [line.strip() for line in lines if line.strip() and not _PLACE.match(line.strip())]
        message = " ".join(" ".join([message, *more[:_ADDED_LINES]]).split())
    message = without_place(message)
    if message.startswith(_XPASS):
        kind = _XPASS.strip("[]")
    if kind:
        message = message.removeprefix(f"{kind}: ")
    match = _TYPED.match(message)
    if _RUST.search(text) and _VAGUE.fullmatch(kind):
        kind = "panic"
    elif _VAGUE.fullmatch(kind) and _PYTHON.search(text) and message.isidentifier():
        # An exception without a message.
        kind, message = message, ""
    elif match and (_VAGUE.fullmatch(kind) or kind == match[1] or match[1].endswith(f".{kind}")):
        kind, message = match[1], message[match.end() :]
    elif _VAGUE.fullmatch(kind) and kind != "Error":
        kind = "AssertionError" if message.startswith("assert ") else _kind_in(text, message)
    found = {"phase": phase, "type": kind, "message": clean.message(message.strip()), "text": clean.text(text)}
    chain = [
        {"type": cause, "message": clean.message(message_lines), "relation": "cause"}
        for cause, message_lines in _led_to(text)
    ]
    return found | {"chain": chain} if chain else found


def _led_to(text: str) -> list[tuple[str, str]]:
    """Return type and message of what a failure was raised from, the first cause first.

    One without a message (a TimeoutException behind each wait) tells less than what was raised from it: it is no cause.
    """
    found: list[tuple[str, str]] = []
    for match in _CAUSED.finditer(text):
        lines = [match[2] or ""]
        for line in text[match.end() :].lstrip("\n").splitlines()[: _MESSAGE_LINES - 1]:
            if _STACK.match(line) or not line.strip() or _CAUSED.match(line):
                break
            lines.append(line)
        found.append((match[1], "\n".join(lines).strip()))
    while found and found[-1][1] in {"", "null"}:
        found.pop()
    return found[::-1][:_MAX_CHAIN]


def _text(element: Element) -> str:
    """Return the text of a failure: its own, else that of the elements inside that hold it."""
    own = element.text if element.text.strip() else "\n".join(_inside(element, *_TEXTS))
    return _COLOUR.sub("", own).strip("\n")


def _inside(element: Element, *tags: str) -> list[str]:
    return [child.text for child in element.named(*tags)]


def timed_out(failure: dict[str, Any], kind: str) -> bool:
    """Tell whether a failure is a test that took too long; `kind` is the type as the report has it."""
    first = failure["message"].partition("\n")[0]
    return bool(_TIMEOUT.search(kind) or _TIMEOUT.search(failure["type"]) or _TIMEOUT.search(first))


def _phase(message: str) -> tuple[str, str]:
    """Return where a test failed, and the message itself, as pytest tells them."""
    match = _PHASED.match(message)
    if match:
        return match[1], match[2]
    return ("collect" if message == "collection failure" else "call"), (
        "" if message == "collection failure" else message
    )


def _message(text: str, own_names: frozenset[str]) -> str:
    """Return what a failure's text says first, up to where its stack trace begins; of pytest's, the error itself."""
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E   ")]
    if errors:
        return "\n".join(errors[:_MESSAGE_LINES])
    for look in (_of_python, _of_rust, _of_node):
        message = look(text)
        if message:
            return message
    message_lines = [match[1] or match[2] for match in _GO_SAID.finditer(text)]
    if message_lines:
        return message_lines[-1]
    kept: list[str] = []
    for line in text.splitlines():
        plain = line.strip()
        if not kept and (not plain or _FRAMING.match(line) or _PLACE.match(plain) or _is_name(plain, own_names)):
            continue
        if kept and (_STACK.match(line) or _FRAMING.match(line) or _PLACE.match(plain)):
            break
        kept.append(_PLACED.sub("", line) if not kept else line)
        if len(kept) == _MESSAGE_LINES:
            break
    return "\n".join(kept).strip()


def _of_python(text: str) -> str:
    """Return `ValueError: why`: the end of the last traceback, which is the exception that the test ended with."""
    starts = list(_PYTHON.finditer(text))
    if not starts:
        return ""
    group = next((start for start in starts if "Group" in start[0]), None)
    lines = text[(group or starts[-1]).end() :].splitlines()
    kept: list[str] = []
    for line in lines:
        plain = _GROUPED.sub("", line) if group else line
        if not kept and (not plain.strip() or plain.startswith((" ", "\t"))):
            continue
        if kept and (not plain.strip() or _PYTHON_END.match(plain) or (group and line.lstrip(" |").startswith("+"))):
            break
        kept.append(plain.rstrip())
        if len(kept) == _MESSAGE_LINES:
            break
    return "\n".join(kept)


def _of_rust(text: str) -> str:
    """Return why a thread of Rust panicked."""
    match = _RUST.search(text)
    if not match:
        return ""
    lines = text[match.end() :].strip("\n").splitlines()
    ends = (at for at, line in enumerate(lines) if not line.strip() or line.startswith(("note: ", "stack backtrace:")))
    return match[1] or "\n".join(lines[: next(ends, _MESSAGE_LINES)][:_MESSAGE_LINES])


def _of_node(text: str) -> str:
    """Return how the process of a file of Node's tests ended, if that is what failed."""
    if "ERR_TEST_FAILURE" not in text:
        return ""
    match = _NODE_EXIT.search(text)
    return "" if not match else f"exit code {match[1]}" if match[1] else f"ended by {match[2]}"


def _is_name(line: str, own_names: frozenset[str]) -> bool:
    return any(line == name or line.startswith(f"{name} (") for name in own_names)


def without_place(message: str) -> str:
    """Return a message without the place at its beginning, on a line of its own or not."""
    first, separator, rest = message.partition("\n")
    return rest if separator and _PLACE.match(first.strip()) else _PLACED.sub("", message, count=1)


def _kind_in(text: str, message: str) -> str:
    """Return the type that stands before the message in the text, as Node and pytest write it."""
    first = re.escape(message.partition("\n")[0][:200])
    match = re.search(rf"(?:^|[\s\[]){_TYPED.pattern}{first}", text) if first else None
    kinds = [] if match is None else [match[1]]
    deeper = re.search(rf"(?m)cause: {_TYPED.pattern}", text)
    return deeper[1] if deeper else (kinds[0] if kinds else "")

"""Why a test did not pass, from the elements that say so: type, message and text, whatever the tool put where.

The message's first line and the type are what a failure's fingerprint is made of, so they must tell one cause from
another: a tool that only writes `Failed` is read further, in the failure's text and the test's output.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_producers.readers.markup import Element
    from testbus_producers.text import Cleaner

#: Colours of a terminal, and how pytest writes them in XML, which forbids the escape character.
_COLOUR = re.compile(r"(?:\x1b|#x1B|\ufffd)\[[0-9;]*[A-Za-z]")

#: Messages that say nothing.
_EMPTY: Final = frozenset({"", "failed", "failure", "test failed", "error"})

#: Types that say nothing.
_VAGUE: Final = frozenset({"", "failure", "failed", "error", "testCodeFailure", "subtestsFailed", "Error"})

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

#: What Go's tests say, and within it what testify says; of what a test only logged, nothing tells it apart.
_GO_SAID = re.compile(r"(?m)^[ \t]+\w+\.go:\d+: (.+)$|^[ \t]+Error:[ \t]+(.+)$")

#: Where a stack trace begins.
_STACK = re.compile(r"\s+at |\s*\u276f |goroutine \d|Traceback |\[cause\]|\t/|\s*\.\.\. \d+ more")

#: Lines that a runner writes around what the test said.
_FRAMING = re.compile(r"=== |\s*--- |\s*\[.*\] \u203a |[\s─-]+$")

#: What runners say when a test took too long.
_TIMEOUT = re.compile(
    r"(?i)test ?timed ?out|timed out after|timeout (?:of|>|\(>)|exceeded timeout|test ?timeout|timeoutexceeded"
)

#: How pytest says that a test passed that was expected to fail.
_XPASS: Final = "[XPASS(strict)]"

#: Lines of a text that may belong to its message.
_MESSAGE_LINES: Final = 20


def failure(element: Element, own_names: Iterable[str], fallback: str, clean: Cleaner) -> dict[str, Any]:
    """Return a failure as plain JSON data.

    `own_names` are lines that only repeat the test's name; `fallback` is the message when the element has none.
    """
    text = _COLOUR.sub("", element.text or "\n".join(child.text for child in element.named("stackTrace"))).strip("\n")
    phase, message = _phase(_COLOUR.sub("", element.get("message")))
    kind = element.get("type")
    if message.strip().lower() in _EMPTY:
        message = _told(text, frozenset(own_names)) or fallback or message
    message = without_place(message)
    if message.startswith(_XPASS):
        kind = _XPASS.strip("[]")
    match = _TYPED.match(message)
    if match and (kind in _VAGUE or kind == match[1] or match[1].endswith(f".{kind}")):
        kind, message = match[1], message[match.end() :]
    elif kind in _VAGUE and kind != "Error":
        kind = "AssertionError" if message.startswith("assert ") else _kind_in(text, message)
    return {"phase": phase, "type": kind, "message": clean.message(message.strip()), "text": clean.text(text)}


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


def _told(text: str, own_names: frozenset[str]) -> str:
    """Return what a failure's text says first, up to where its stack trace begins; of pytest's, the error itself."""
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E   ")]
    if errors:
        return "\n".join(errors[:_MESSAGE_LINES])
    said = [match[1] or match[2] for match in _GO_SAID.finditer(text)]
    if said:
        return said[-1]
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

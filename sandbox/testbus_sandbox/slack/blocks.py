"""Block Kit's rules for blocks of messages: which types there are and how long their texts may be."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import SlackError
from testbus_sandbox.slack.workspace import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Blocks in one message, at most.
MAX_BLOCKS: Final = 50

#: Characters in a text object of a section or a context, at most.
MAX_TEXT: Final = 3000

#: Characters in one field of a section, and in the alternative text of an image, at most.
MAX_FIELD: Final = 2000

#: Fields in a section, and elements in a context, at most.
MAX_FIELDS: Final = 10

#: Characters in a header, at most.
MAX_HEADER: Final = 150

#: Elements in a block of actions, at most.
MAX_ACTIONS: Final = 25

#: Characters on a button, in an id, in a value, in a URL, at most.
MAX_BUTTON: Final = 75
MAX_ID: Final = 255
MAX_VALUE: Final = 2000
MAX_URL: Final = 3000

#: Characters in all markdown blocks of a message together, at most.
MAX_MARKDOWN: Final = 12_000


class _Checker:
    """Collects what is wrong, each with a JSON pointer, as Slack reports it."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def problem(self, what: str, pointer: str) -> None:
        """Note a problem."""
        self.problems.append(f"[ERROR] {what} [json-pointer:{pointer}]")

    def string(self, owner: dict[str, Any], name: str, pointer: str, longest: int, *, required: bool = False) -> None:
        """Check one string."""
        value = owner.get(name)
        if value is None:
            if required:
                self.problem(f"missing required field: {name}", pointer)
        elif not isinstance(value, str):
            self.problem("must provide a string", f"{pointer}/{name}")
        elif len(value) > longest:
            self.problem(f"must be less than {longest + 1} characters", f"{pointer}/{name}")
        elif not value and required:
            self.problem("must be more than 0 characters", f"{pointer}/{name}")

    def text(self, value: Any, pointer: str, longest: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")) -> None:
        """Check a text object."""
        if not isinstance(value, dict):
            self.problem("must provide an object", pointer)
        elif value.get("type") not in kinds:
            self.problem(f"unsupported type: {value.get('type')}", f"{pointer}/type")
        else:
            self.string(value, "text", pointer, longest, required=True)

    def objects(self, owner: dict[str, Any], name: str, pointer: str, most: int) -> list[dict[str, Any]]:
        """Check a list of one to `most` objects, and return those that are objects."""
        values = owner.get(name)
        if not isinstance(values, list) or not values:
            self.problem(f"missing required field: {name}", pointer)
            return []
        if len(values) > most:
            self.problem(f"no more than {most} items allowed", f"{pointer}/{name}")
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                self.problem("must provide an object", f"{pointer}/{name}/{index}")
        return [value for value in values if isinstance(value, dict)]


def check(blocks: Any) -> tuple[dict[str, Any], ...]:
    """Return the blocks; raise SlackError invalid_blocks_format, invalid_blocks or msg_blocks_too_long."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise SlackError("invalid_blocks_format")
    checker = _Checker()
    if len(blocks) > MAX_BLOCKS:
        checker.problem(f"no more than {MAX_BLOCKS} items allowed", "/blocks")
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(set(map(str, ids))) < len(ids):
        checker.problem("`block_id` already exists", "/blocks")
    for index, block in enumerate(blocks):
        pointer = f"/blocks/{index}"
        checker.string(block, "block_id", pointer, MAX_ID)
        check_type = _TYPES.get(str(block.get("type")))
        if check_type is None:
            checker.problem(f"unsupported type: {block.get('type')}", f"{pointer}/type")
        else:
            check_type(checker, block, pointer)
    if checker.problems:
        raise SlackError("invalid_blocks", *checker.problems)
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > MAX_MARKDOWN:
        raise SlackError("msg_blocks_too_long")
    return tuple(blocks)


def _section(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check for a text, fields, or both; perhaps something beside it."""
    if "text" not in block and "fields" not in block:
        checker.problem("missing required field: text or fields", pointer)
    if "text" in block:
        checker.text(block["text"], f"{pointer}/text", MAX_TEXT)
    if "fields" in block:
        for index, value in enumerate(checker.objects(block, "fields", pointer, MAX_FIELDS)):
            checker.text(value, f"{pointer}/fields/{index}", MAX_FIELD)
    if isinstance(block.get("accessory"), dict):
        _element(checker, block["accessory"], f"{pointer}/accessory")


def _header(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check for a plain text."""
    checker.text(block.get("text"), f"{pointer}/text", MAX_HEADER, ("plain_text",))


def _context(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check texts and images in a row."""
    for index, element in enumerate(checker.objects(block, "elements", pointer, MAX_FIELDS)):
        where = f"{pointer}/elements/{index}"
        if element.get("type") == "image":
            _image(checker, element, where)
        else:
            checker.text(element, where, MAX_TEXT)


def _actions(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check buttons and menus."""
    for index, element in enumerate(checker.objects(block, "elements", pointer, MAX_ACTIONS)):
        _element(checker, element, f"{pointer}/elements/{index}")


def _element(checker: _Checker, element: dict[str, Any], pointer: str) -> None:
    """Check a button, an image, or another interactive element."""
    checker.string(element, "action_id", pointer, MAX_ID)
    if element.get("type") == "button":
        checker.text(element.get("text"), f"{pointer}/text", MAX_BUTTON, ("plain_text",))
        checker.string(element, "value", pointer, MAX_VALUE)
        checker.string(element, "url", pointer, MAX_URL)
    elif element.get("type") == "image":
        _image(checker, element, pointer)


def _image(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check for a picture by URL, with words for those who do not see it."""
    if "slack_file" not in block:
        checker.string(block, "image_url", pointer, MAX_URL, required=True)
    checker.string(block, "alt_text", pointer, MAX_FIELD, required=True)


def _markdown(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check for standard Markdown."""
    checker.string(block, "text", pointer, MAX_MARKDOWN, required=True)


def _elements(checker: _Checker, block: dict[str, Any], pointer: str) -> None:
    """Check that there are elements; the sandbox does not look into them."""
    if not isinstance(block.get("elements"), list):
        checker.problem("missing required field: elements", pointer)


def _anything(_: _Checker, __: dict[str, Any], ___: str) -> None:
    """Accept what the sandbox does not look into."""


_TYPES: Final[dict[str, Callable[[_Checker, dict[str, Any], str], None]]] = {
    "actions": _actions,
    "context": _context,
    "divider": _anything,
    "file": _anything,
    "header": _header,
    "image": _image,
    "input": _anything,
    "markdown": _markdown,
    "rich_text": _elements,
    "section": _section,
    "table": _anything,
    "video": _anything,
}


#: Characters of a message's text, at most.
MAX_MESSAGE: Final = 40_000

#: Attachments of a message, at most.
MAX_ATTACHMENTS: Final = 100

#: Bytes of metadata as JSON, at most.
MAX_METADATA: Final = 16_384

#: A type of metadata: letters, digits, `_`, `.`, `-`.
_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,255}")


def read(arguments: Mapping[str, Any]) -> Content:
    """Return the checked content; raise SlackError no_text, msg_too_long, invalid_blocks… or invalid_metadata_…."""
    text = arguments.get("text")
    text = None if text is None else str(text)
    found = Content(
        text=text,
        blocks=_blocks(arguments.get("blocks")),
        attachments=_attachments(arguments.get("attachments")),
        metadata=_metadata(arguments.get("metadata")),
    )
    if not (text and text.strip()) and not found.blocks and not found.attachments:
        raise SlackError("no_text")
    if text is not None and len(text) > MAX_MESSAGE:
        raise SlackError("msg_too_long")
    return found


def flag(value: object) -> bool:
    """Return an argument as boolean: JSON's true, or the text of a form."""
    return str(value).lower() in {"1", "true"}


def _blocks(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """Return the blocks of a request: a list, or its JSON."""
    if value is None or value == "":
        return None
    return check(_decoded(value, "invalid_blocks_format"))


def _attachments(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """Return the attachments of a request: a list, or its JSON."""
    if value is None or value == "":
        return None
    value = _decoded(value, "invalid_attachments")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise SlackError("invalid_attachments")
    if len(value) > MAX_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    return tuple(value)


def _metadata(value: Any) -> Mapping[str, Any] | None:
    """Return the metadata of a request: an object, or its JSON; an empty one stays empty."""
    if value is None or value == "":
        return None
    value = _decoded(value, "invalid_metadata_format")
    if not isinstance(value, dict):
        raise SlackError("invalid_metadata_format")
    if not value:
        return {}
    event_type, payload = value.get("event_type"), value.get("event_payload")
    if not isinstance(event_type, str) or not _EVENT_TYPE.fullmatch(event_type) or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_schema")
    if len(json.dumps(value).encode()) > MAX_METADATA:
        raise SlackError("metadata_too_large")
    return {"event_type": event_type, "event_payload": payload}


def _decoded(value: Any, error: str) -> Any:
    """Return what a form's JSON means; other values as they are. Raise SlackError for text that is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError(error) from None

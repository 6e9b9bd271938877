"""Rich text in one of Jira's two markups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.wording.notice import Block


class Markup(Protocol):
    """One of Jira's forms of rich text: wiki markup (`str`), or the Atlassian Document Format (`dict`)."""

    def render(self, blocks: Sequence[Block]) -> Any:
        """Return blocks in this form."""

    def replace(self, description: Any, section: Sequence[Block]) -> Any | None:
        """Return a description with the part between OPENING and CLOSING replaced; None when it has no such part."""

    def mentions(self, text: Any, words: str) -> bool:
        """Tell whether rich text has just these words in it, as code."""

    def size(self, text: Any) -> int:
        """Return how many characters Jira will count."""

"""Snapshot: a final state as keys and contents, with everything made comparable that may differ from run to run."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a fact is about, as (where, what, which …).
Key = tuple[str, ...]

#: Key → everything that is there of it.
Snapshot = dict[Key, list[str]]

#: Instants in texts, to the minute or finer.
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|\+00:00)?")

#: Numbers that are instants: seconds or milliseconds since the epoch, after 2020.
_SECONDS: Final = (1_577_000_000, 10_000_000_000)
_MILLISECONDS: Final = (_SECONDS[0] * 1000, _SECONDS[1] * 1000)

#: Keys of issues: who files first gets the lower number.
_ISSUE_KEY: Final = re.compile(r"\bCHAOS-\d+\b")


#: Addresses of launches: whichever started first has the lower number.
_LAUNCH: Final = re.compile(r"/launches/all/\d+")


class Comparable:
    """Makes the texts and values of one deployment comparable with another's."""

    def __init__(self, base: datetime, issues: Mapping[str, str]) -> None:
        """Take the moment that all times of the load count from, and what each issue stands for, by its key."""
        self._base = base.timestamp()
        self._issues = issues

    def of(self, value: Any) -> Any:
        """Return a JSON value without what may differ: instants count from the base, issues are called by cause."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.of(one) for key, one in value.items()}
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self.of(one) for one in value]
        if isinstance(value, datetime):
            return f"T{value.timestamp() - self._base:+.3f}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value)
        return value

    def text(self, text: str) -> str:
        """Return a text without what may differ."""
        text = _ISSUE_KEY.sub(lambda found: f"<{self._issues.get(found[0], 'unknown issue')}>", text)
        return _INSTANT.sub(self._instant, _LAUNCH.sub("/launches/all/N", text))

    def _number(self, value: float) -> Any:
        for (low, high), unit in ((_SECONDS, 1.0), (_MILLISECONDS, 1000.0)):
            if low < value < high:
                return f"T{value / unit - self._base:+.3f}"
        return value

    def _instant(self, found: re.Match[str]) -> str:
        text = found[0].removesuffix(" UTC").replace("Z", "+00:00")
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return f"T{moment.timestamp() - self._base:+.3f}"


def gathered(found: Iterable[tuple[Key, Any]]) -> Snapshot:
    """Return snapshot by key, each content as JSON whose keys are in order."""
    snapshot: Snapshot = defaultdict(list)
    for key, content in found:
        snapshot[key].append(json.dumps(content, sort_keys=True, ensure_ascii=False, default=str))
    return {key: sorted(contents) for key, contents in snapshot.items()}

"""What people read: every text is made here, as data, and rendered for its channel; standard library and events only.

`numbers` and `text` say how a number, a name, a message or a run is written; `runs`, `regressions`, `issues` and
`launches` say what is told; `slack` and `markdown` write it.
"""

from testbus_consumers.wording import issues, launches, markdown, numbers, regressions, runs, slack, text
from testbus_consumers.wording.notice import Notice, Tone

__all__ = [
    "Notice",
    "Tone",
    "issues",
    "launches",
    "markdown",
    "numbers",
    "regressions",
    "runs",
    "slack",
    "text",
]

"""Where the consumers' own log goes: one JSON object a line, to standard error or to a file."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def to_stderr(level: int = logging.INFO) -> None:
    """Log to standard error, as workers do: whoever runs them collects it."""
    _configure(sys.stderr, level)


@contextmanager
def to_file(path: Path, level: int = logging.INFO) -> Iterator[None]:
    """Append the log to a private file within this block, as the embedded pipeline does.

    The terminal belongs to the tests.
    """
    path.touch(mode=0o600)
    before = structlog.get_config()
    with path.open("a", encoding="utf-8", buffering=1) as stream:
        _configure(stream, level)
        try:
            yield
        finally:
            structlog.configure(**before)


def _configure(stream: TextIO, level: int) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )

"""Where the consumers' own log goes: one JSON object a line, to standard error or to a file."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What every line has besides what it says: what is bound around it (event, run, queue), level and time.
_PROCESSORS: Final[list[Any]] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def to_stderr(level: int = logging.INFO) -> None:
    """Log to standard error, as workers do: whoever runs them collects it."""
    _configure(sys.stderr, level)


def to_json(loglevel: int | str | None = None, **_signal: Any) -> None:
    """Log to standard error, and what others log by Python's own way (Celery, kombu, warnings) with it, as JSON too.

    `loglevel` is of theirs. Connected to Celery's signal `setup_logging`, which keeps Celery from doing it its own way.
    """
    to_stderr()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_PROCESSORS, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(loglevel or logging.WARNING)
    logging.captureWarnings(capture=True)


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
        processors=[*_PROCESSORS, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )

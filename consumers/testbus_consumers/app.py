"""Entry for `celery -A testbus_consumers.app worker -Q testbus.queue.gates`; `testbus worker gates` does the same."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Make the application when Celery looks for it: importing this module reads no configuration."""
    if name not in {"app", "celery"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testbus_consumers.worker.celery_app import create_app  # noqa: PLC0415 not before it is asked for

    globals()["app"] = globals()["celery"] = application = create_app()
    return application

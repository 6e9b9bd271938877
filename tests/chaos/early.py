"""A broken policy, for the test of the harness: acknowledges an event before it is dealt with."""

from __future__ import annotations

from testbus_consumers.worker.celery_app import create_app

app = create_app()
app.conf.task_acks_late = False

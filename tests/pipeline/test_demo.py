"""The demo over real RabbitMQ with real workers: the same scenes, the same table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import testbus as testbus  # noqa: PLC0414 the fixture is wanted here too
from tests.cli.test_demo import check

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def test_the_demo_over_rabbitmq(
    testbus: Callable[..., subprocess.CompletedProcess[str]],
    own_amqp_url: str,
) -> None:
    """Declared, migrated, worked on by one Celery worker per queue."""
    done = testbus("demo", "--url", own_amqp_url, "--json")
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))

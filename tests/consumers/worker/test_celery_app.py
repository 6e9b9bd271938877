"""The Celery application: what is refused before anything is consumed."""

from __future__ import annotations

import pytest
from celery.signals import celeryd_init

from testbus_consumers.settings import BrokerSettings, Secret, Settings
from testbus_consumers.worker.celery_app import create_app
from testbus_consumers.worker.remote_control import handlers


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "celery.concurrency.gevent:TaskPool"])
def test_a_pool_of_greenlets_is_refused(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence that names those that work."""
    monkeypatch.setenv("TESTBUS_URL", "amqp://guest:guest@localhost/")
    app = create_app(Settings(broker=BrokerSettings(url=Secret(env="TESTBUS_URL"))))
    with pytest.raises(SystemExit, match=r"use prefork \(the default\), threads or solo"):
        celeryd_init.send(sender="worker@host", instance=app, conf=app.conf, options={"pool_cls": pool})


def test_a_command_that_a_later_celery_brings_is_refused_until_it_was_judged() -> None:
    """What is not known to do no harm gets an answer, and does nothing."""
    done: list[str] = []
    table = handlers({"ping": lambda _: {"ok": "pong"}, "drop_everything": lambda _: done.append("dropped")})
    assert table["ping"](None) == {"ok": "pong"}
    assert "is refused" in table["drop_everything"](None, now=True)["error"]
    assert done == []

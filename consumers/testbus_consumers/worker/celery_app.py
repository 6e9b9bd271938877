"""The Celery application: settings that lose nothing, one task, and the process's lanes."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
from celery import Celery
from celery.exceptions import Reject
from celery.signals import celeryd_init, worker_process_init, worker_process_shutdown, worker_ready
from kombu import Queue

from testbus_broker import connection
from testbus_broker.errors import BrokerError
from testbus_consumers import logs, registry, settings
from testbus_consumers.runtime.breaker import Breaker
from testbus_consumers.runtime.courier import settle
from testbus_consumers.worker.ending import Ending
from testbus_consumers.worker.intake import ORIGINAL, TASK, EventConsumer, delivery_of, register_content_type
from testbus_consumers.worker.lanes import Lanes

if TYPE_CHECKING:
    from testbus_consumers.runtime.delivery import Delivery, Settlement
    from testbus_consumers.settings import Settings
    from testbus_consumers.worker.lanes import Lane

log = structlog.get_logger(__name__)

#: Seconds after which a stuck handler's process is killed; its event is delivered again.
TIME_LIMIT_S: Final = 300

#: Seconds for which a broker that takes nothing is asked again before an event goes back to its queue.
PATIENCE_S: Final = 120.0

#: Seconds until the second time, doubled from time to time.
_FIRST_PAUSE_S: Final = 1.0

#: Messages fetched ahead per child process: small, because a killed worker costs each of them a delivery.
PREFETCH: Final = 4


def create_app(configured: Settings | None = None) -> Celery:
    """Return the application for the queues of this configuration (default: the one in the environment)."""
    configured = configured or settings.load()
    broker_url = configured.broker.url.reveal()
    # Refuses, with the remedy, what Celery would send in clear over a network.
    connection.parameters(broker_url, allow_plaintext=configured.broker.allow_plaintext)
    register_content_type()
    app = Celery("testbus", set_as_current=False)
    app.conf.update(
        # Our parameters of the URL are files for TLS, which kombu takes elsewhere.
        broker_url=broker_url.partition("?")[0],
        broker_use_ssl=_tls(broker_url),
        worker_consumer=EventConsumer,
        accept_content=["json", "cloudevents"],
        task_queues=[
            # Declared by `testbus broker declare`; the type tells Celery that the queue knows no global prefetch.
            Queue(one.subscription.queue, no_declare=True, queue_arguments={"x-queue-type": "quorum"})
            for one in registry.instances(configured)
        ],
        task_create_missing_queues=False,
        task_acks_late=True,
        task_acks_on_failure=False,
        task_acks_on_timeout=False,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_time_limit=TIME_LIMIT_S,
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=PREFETCH,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    # Before any fork: the parent sees what its children find out about their target.
    app.breakers = {queue.name: Breaker(queue.name, time.time) for queue in app.conf.task_queues}
    # For the parent, which looks there before it consumes anything.
    app.state_url = configured.state_url()
    app.ending = None
    _serve(app, configured)
    return app


def _tls(url: str) -> dict[str, Any] | bool:
    """Return what makes py-amqp verify the broker's certificate and, which it leaves out by itself, its host name."""
    if not url.startswith("amqps:"):
        return False
    files = connection.tls_files(url)
    return {
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": files.get("cacertfile"),
        "certfile": files.get("certfile"),
        "keyfile": files.get("keyfile"),
        # Not left to kombu, which would ask a broker at localhost for the certificate of 127.0.0.1.
        "server_hostname": urlsplit(url).hostname or "localhost",
    }


def _serve(app: Celery, configured: Settings) -> None:
    lanes: list[Lanes] = []

    def open_lanes(**_signal: Any) -> None:
        if not lanes:
            logs.to_stderr()
            lanes.append(Lanes(configured, app.breakers, list(app.amqp.queues.consume_from)))

    def open_in_parent(sender: Any, **_signal: Any) -> None:
        # Pools without processes of their own (solo, threads) never send worker_process_init.
        if not sender.pool or not getattr(sender.pool, "uses_semaphore", False):
            open_lanes()
        else:
            app.ending = Ending(sender.controller)

    def close_lanes(**_signal: Any) -> None:
        while lanes:
            lanes.pop().close()

    def limit_time(options: dict[str, Any], **_signal: Any) -> None:
        # Celery lets the configuration win over its own option.
        if options.get("time_limit"):
            app.tasks[TASK].time_limit = options["time_limit"]

    celeryd_init.connect(limit_time, weak=False)
    worker_process_init.connect(open_lanes, weak=False)
    worker_ready.connect(open_in_parent, weak=False)
    worker_process_shutdown.connect(close_lanes, weak=False)

    @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator] # Celery ships no types
    def deliver(task: Any, body: bytes) -> None:
        original = getattr(task.request, ORIGINAL)
        lane = lanes[0][original["queue"]]
        delivery = delivery_of(body, original)
        _settle(lane, delivery, lane.policy.deliver(delivery))


def _settle(lane: Lane, delivery: Delivery, settlement: Settlement) -> None:
    """Carry out what the policy said, with patience: giving the event back to the broker would count as a delivery."""
    deadline = time.monotonic() + PATIENCE_S
    pause = _FIRST_PAUSE_S
    while True:
        try:
            settle(lane.courier, delivery, settlement)
        except BrokerError as error:
            log.warning("cannot be settled yet", queue=lane.policy.queue, error=str(error))
            if time.monotonic() + pause > deadline or lane.policy.breaker.closing:
                raise Reject(str(error), requeue=True) from error
            time.sleep(pause)
            pause *= 2
        else:
            return

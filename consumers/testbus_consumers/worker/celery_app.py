"""The Celery application: settings that lose nothing, one task, and the process's lanes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from celery.exceptions import Reject
from celery.signals import worker_process_init, worker_process_shutdown, worker_ready
from kombu import Queue

from testbus_broker import connection
from testbus_broker.errors import BrokerError
from testbus_consumers import logs, registry, settings
from testbus_consumers.runtime.breaker import Breaker
from testbus_consumers.runtime.courier import settle
from testbus_consumers.worker.intake import ORIGINAL, TASK, EventConsumer, delivery_of, register_content_type
from testbus_consumers.worker.lanes import Lanes

if TYPE_CHECKING:
    from testbus_consumers.settings import Settings

#: Seconds after which a stuck handler's process is killed; its event is delivered again.
TIME_LIMIT_S: Final = 300

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
        broker_url=broker_url,
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
    _serve(app, configured)
    return app


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

    def close_lanes(**_signal: Any) -> None:
        while lanes:
            lanes.pop().close()

    worker_process_init.connect(open_lanes, weak=False)
    worker_ready.connect(open_in_parent, weak=False)
    worker_process_shutdown.connect(close_lanes, weak=False)

    @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator] # Celery ships no types
    def deliver(task: Any, body: bytes) -> None:
        original = getattr(task.request, ORIGINAL)
        lane = lanes[0][original["queue"]]
        delivery = delivery_of(body, original)
        try:
            settle(lane.courier, delivery, lane.policy.deliver(delivery))
        except BrokerError as error:
            raise Reject(str(error), requeue=True) from error

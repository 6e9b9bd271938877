"""The Celery application: settings that lose nothing, one task, and the queue workers of its process."""

from __future__ import annotations

import gc
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
from celery import Celery
from celery.exceptions import Reject
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
)
from kombu import Queue

from testbus_broker import connection
from testbus_broker.errors import BrokerError
from testbus_broker.publisher import open_publisher
from testbus_broker.topology import Subscription
from testbus_consumers import logs, registry, settings
from testbus_consumers.bootstrap import build_policy
from testbus_consumers.errors import UnknownConsumerError
from testbus_consumers.runtime.background import Sweeper
from testbus_consumers.runtime.breaker import Breaker
from testbus_consumers.runtime.delivery import settle
from testbus_consumers.worker.amqp_actions import AmqpActions
from testbus_consumers.worker.flow_control import (
    Shutdown,
    end_pool_by_another_signal,
    follow_parent,
    leave_sigterm_to_parent,
    let_children_have_sigterm,
)
from testbus_consumers.worker.message_adapter import (
    ORIGINAL,
    TASK,
    EventConsumer,
    EventRequest,
    delivery_of,
    register_content_type,
)
from testbus_consumers.worker.remote_control import NAMES, EventAmqp, EventControl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_broker.publisher import Publisher
    from testbus_consumers.runtime.delivery import Delivery, Settlement
    from testbus_consumers.runtime.policy import Policy
    from testbus_consumers.settings import Settings

#: Seconds that ending one of a process's threads may take.
_STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class QueueWorker:
    """One queue in one process."""

    #: What decides.
    policy: Policy
    #: What carries out.
    actions: AmqpActions
    #: What looks after timers and leases.
    sweeper: Sweeper


class QueueWorkers:
    """All queues of this process."""

    def __init__(self, settings: Settings, breakers: Mapping[str, Breaker], queues: Iterable[str]) -> None:
        """Make the workers of these queues (full names) and start their sweepers."""
        self._breakers = breakers
        url = settings.broker.url.reveal()
        self._publisher: Publisher = open_publisher(url, allow_plaintext=settings.broker.allow_plaintext)
        self._answers: Publisher = open_publisher(url, allow_plaintext=settings.broker.allow_plaintext)
        self._queue_workers = {queue: self._open(queue, settings, url) for queue in queues}
        for queue_worker in self._queue_workers.values():
            queue_worker.sweeper.start()

    def __getitem__(self, queue: str) -> QueueWorker:
        """Return the worker of a queue."""
        return self._queue_workers[queue]

    def close(self) -> None:
        """Stop the sweepers, and close what is open."""
        for queue_worker in self._queue_workers.values():
            queue_worker.sweeper.stop(_STOP_S)
            queue_worker.policy.close()
        self._publisher.close(_STOP_S)
        self._answers.close(_STOP_S)

    def _open(self, queue: str, settings: Settings, url: str) -> QueueWorker:
        subscription = Subscription.from_queue(queue)
        running = {instance.queue: instance for instance in registry.instances(settings)}
        instance = running.get(subscription.name)
        if instance is None:
            raise UnknownConsumerError(
                f"queue {queue} belongs to no configured consumer; configured: {', '.join(running)}"
            )
        policy = build_policy(instance, settings, self._publisher, breaker=self._breakers[queue])
        actions = AmqpActions(
            subscription=subscription,
            publisher=self._publisher,
            answers=self._answers,
            url=url,
            allow_plaintext=settings.broker.allow_plaintext,
        )
        return QueueWorker(policy=policy, actions=actions, sweeper=Sweeper(policy, actions))


log = structlog.get_logger(__name__)

#: Seconds after which a stuck handler's process is killed; its event is delivered again.
TIME_LIMIT_S: Final = 300

#: Seconds for which a broker that takes nothing is asked again before an event goes back to its queue.
PATIENCE_S: Final = 120.0

#: Seconds until the second time, doubled from time to time.
_FIRST_PAUSE_S: Final = 1.0

#: Messages fetched ahead per child process: small, because a killed worker costs each of them a delivery.
PREFETCH: Final = 4

#: Allocations between two collections of garbage, by generation: one event of 200 results makes thousands of objects,
#: and all of them end with it. Python's own 700 looks at them again and again, a tenth of the time of decoding.
_GC_THRESHOLDS: Final = (20_000, 20, 20)


def create_app(configured: Settings | None = None) -> Celery:
    """Return the application for the queues of this configuration (default: the one in the environment)."""
    configured = configured or settings.load()
    broker_url = configured.broker.url.reveal()
    # Refuses, with the remedy, what Celery would send in clear over a network.
    connection.parameters(broker_url, allow_plaintext=configured.broker.allow_plaintext)
    register_content_type()
    app = Celery("testbus", set_as_current=False, amqp=EventAmqp, control=EventControl)
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
        worker_enable_remote_control=configured.celery.remote_control,
        control_exchange=NAMES,
        event_exchange=f"{NAMES}.events",
        event_queue_prefix=f"{NAMES}.events",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=configured.celery.task_events,
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
    process = _Process(app, configured)
    setup_logging.connect(logs.to_json, weak=False)
    celeryd_init.connect(process.begin, weak=False)
    worker_process_init.connect(process.open_in_pool, weak=False)
    worker_ready.connect(process.get_ready, weak=False)
    worker_process_shutdown.connect(process.close, weak=False)
    worker_shutdown.connect(process.close, weak=False)

    @app.task(name=TASK, bind=True, Request=EventRequest)  # type: ignore[untyped-decorator] # Celery ships no types
    def deliver(task: Any, body: bytes) -> None:
        let_children_have_sigterm()
        original = getattr(task.request, ORIGINAL)
        queue_worker = process.queue_worker(original["queue"])
        delivery = delivery_of(body, original)
        with structlog.contextvars.bound_contextvars(consumer=queue_worker.policy.queue, event_id=delivery.message_id):
            _settle(queue_worker, delivery, queue_worker.policy.deliver(delivery))


class _Process:
    """What Celery's signals do in a worker's process, and the queue workers that are opened there."""

    def __init__(self, app: Celery, configured: Settings) -> None:
        self._app = app
        self._configured = configured
        self._queue_workers: QueueWorkers | None = None

    def queue_worker(self, queue: str) -> QueueWorker:
        """Return the worker of a queue; its process has opened it."""
        assert self._queue_workers is not None
        return self._queue_workers[queue]

    def begin(self, options: dict[str, Any], **_signal: Any) -> None:
        """Look at the options of a worker before anything of it is made."""
        if pool := _green(options.get("pool_cls") or options.get("pool")):
            # Of a signal's receiver Celery lets no other exception pass.
            raise SystemExit(f"testbus: the pool {pool} is not supported: use prefork (the default), threads or solo")
        # Before Celery says its first word, which is a warning where it runs as root.
        logs.to_json()
        follow_parent()
        end_pool_by_another_signal()
        if options.get("time_limit"):
            # Celery lets the configuration win over its own option.
            self._app.tasks[TASK].time_limit = options["time_limit"]

    def open_in_pool(self, **_signal: Any) -> None:
        """Open the queue workers in a process of the pool."""
        leave_sigterm_to_parent()
        self._open()

    def get_ready(self, sender: Any, **_signal: Any) -> None:
        """Take over the end of the worker, in its parent process."""
        if not sender.pool or not getattr(sender.pool, "uses_semaphore", False):
            # Pools without processes of their own (solo, threads) never send worker_process_init.
            self._open()
        self._app.ending = Shutdown(sender.controller)
        log.info("ready", worker=str(sender.hostname), queues=sorted(self._app.amqp.queues.consume_from))

    def close(self, **_signal: Any) -> None:
        """Close the queue workers."""
        if self._queue_workers is not None:
            self._queue_workers.close()
            self._queue_workers = None

    def _open(self) -> None:
        if self._queue_workers is None:
            self._queue_workers = QueueWorkers(
                self._configured, self._app.breakers, list(self._app.amqp.queues.consume_from)
            )
            # What is there by now lives as long as the process.
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLDS)


def _green(pool: Any) -> str:
    """Return the name of a pool of greenlets, "" for any other: pika's and the databases' threads would stand still."""
    name = pool if isinstance(pool, str) else getattr(pool, "__module__", "")
    return next((kind for kind in ("gevent", "eventlet") if kind in name), "")


def _settle(queue_worker: QueueWorker, delivery: Delivery, settlement: Settlement) -> None:
    """Carry out what the policy said, with patience: giving the event back to the broker would count as a delivery."""
    deadline = time.monotonic() + PATIENCE_S
    pause = _FIRST_PAUSE_S
    while True:
        try:
            settle(queue_worker.actions, delivery, settlement)
        except BrokerError as error:
            log.warning("cannot be settled yet", consumer=queue_worker.policy.queue, error=str(error))
            if time.monotonic() + pause > deadline or queue_worker.policy.breaker.is_ending:
                raise Reject(str(error), requeue=True) from error
            time.sleep(pause)
            pause *= 2
        else:
            return

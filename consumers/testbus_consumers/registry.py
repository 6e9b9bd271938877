"""Which consumers there are, and which of them this configuration runs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from pydantic import create_model

from testbus_broker.errors import SubscriptionNameError
from testbus_broker.topology import Subscription
from testbus_consumers.errors import SettingsError, UnknownConsumerError
from testbus_consumers.settings import ComponentSettings, Section, Settings, StateSettings, parse, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbus_consumers.errors import Fault
    from testbus_consumers.runtime.consumer import Consumer
    from testbus_consumers.settings import Source

#: Entry-point group in which other packages announce their consumers: `name = "module:CONSUMER"`.
GROUP: Final = "testbus.consumers"

#: The consumers that come with testbus.
BUILT_IN: Final[Mapping[str, str]] = {
    "runs": "testbus_consumers.runs:CONSUMER",
    "gates": "testbus_consumers.gates:CONSUMER",
    "requests": "testbus_consumers.requests:CONSUMER",
    "regressions": "testbus_consumers.regressions:CONSUMER",
    "reportportal": "testbus_consumers.reportportal:CONSUMER",
    "slack": "testbus_consumers.slack:CONSUMER",
    "jira": "testbus_consumers.jira:CONSUMER",
}

#: Those that run without being configured: without them nobody gets a verdict.
ALWAYS: Final = ("runs", "gates", "requests")

#: What is said of components in a consumer's section.
_AT_THE_TOP: Final = "unknown key; components are the same for all: name them at the top of the file"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One consumer, or one target of it: what has a queue and a state of its own."""

    #: Whose handlers.
    consumer: Consumer
    #: Name of the target; None for a consumer without targets.
    target: str | None
    #: Settings of the consumer, or of the target.
    settings: Any

    @property
    def queue(self) -> str:
        """Return the name in queues and state: `gates`, `reportportal.eu`."""
        return self.consumer.name if self.target is None else f"{self.consumer.name}.{self.target}"

    @property
    def enabled(self) -> bool:
        """Tell whether it is to run: settings that have no `enabled` cannot say otherwise."""
        return bool(getattr(self.settings, "enabled", True))

    @property
    def handles_events(self) -> bool:
        """Tell whether events come to it; one that only answers requests has no past, and no dead letters."""
        return bool(self.consumer.patterns)

    @property
    def label(self) -> str:
        """Return the name on the command line: `gates`, `reportportal/eu`."""
        return self.consumer.name if self.target is None else f"{self.consumer.name}/{self.target}"

    @property
    def subscription(self) -> Subscription:
        """Return what the topology needs to know."""
        return Subscription(name=self.queue, patterns=self.consumer.patterns)


def available() -> dict[str, str]:
    """Return every consumer that is installed: name → `module:attribute`."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP)} | dict(BUILT_IN)


def load_consumer(name: str) -> Consumer:
    """Return a consumer by its name; UnknownConsumerError lists those that are installed."""
    found = available()
    if name not in found:
        raise UnknownConsumerError(f"no consumer {name!r} is installed; there are: {', '.join(sorted(found))}")
    module, _, attribute = found[name].partition(":")
    consumer: Consumer = getattr(import_module(module), attribute)
    return consumer


def instances(settings: Settings) -> tuple[Instance, ...]:
    """Return everything that this configuration runs; SettingsError names a faulty key.

    What says `enabled: false` is left out: no worker takes from its queue, which keeps what comes until it is enabled
    again or the queue is removed; one that was never declared is not declared.
    """
    return tuple(one for one in configured(settings) if one.enabled)


def find(settings: Settings, label: str) -> tuple[Instance, ...]:
    """Return the instances that a label of the command line means.

    `reportportal` means all of its targets, `reportportal/eu` one. Raises UnknownConsumerError.
    """
    running = instances(settings)
    found = tuple(one for one in running if label in {one.label, one.queue, one.consumer.name})
    if not found:
        if any(label in {one.label, one.queue, one.consumer.name} for one in configured(settings)):
            raise UnknownConsumerError(f"{label!r} is not enabled: set enabled: true in its section to run it")
        known = ", ".join(one.label for one in running)
        raise UnknownConsumerError(f"{label!r} is not configured; there are: {known}")
    return found


def find_with_events(settings: Settings, label: str) -> tuple[Instance, ...]:
    """Return as `find` the instances to which events come; UnknownConsumerError for what only answers requests."""
    found = tuple(one for one in find(settings, label) if one.handles_events)
    if not found:
        raise UnknownConsumerError(f"{label} answers requests: no events come to it, so it has no past to look into")
    return found


def configured(settings: Settings) -> tuple[Instance, ...]:
    """Return everything that this configuration names, enabled or not; SettingsError names every faulty key."""
    sections = {name: settings.section(name) for name in settings.consumers}
    found, faults = _configured(sections, settings.source, _shared(settings))
    if faults:
        raise SettingsError(faults=faults)
    return found


def validated(path: Path | None) -> tuple[tuple[Instance, ...], list[Fault]]:
    """Return what a file (None: the defaults) would run, and every fault of every section of it.

    Raises SettingsError where the file cannot be read at all.
    """
    if path is None:
        return instances(Settings()), []
    raw, source, faults = read(path)
    shared = _shared(Settings())
    try:
        shared = _shared(parse(Settings, raw, source))
    except SettingsError as error:
        faults += error.faults
        components = raw.get("components") if isinstance(raw, dict) else None
        if isinstance(components, dict):
            # A rule may name them, whatever else is wrong with them.
            shared["components"] = {str(name): ComponentSettings() for name in components}
    named = raw.get("consumers") if isinstance(raw, dict) else None
    sections = {str(name): section or {} for name, section in named.items()} if isinstance(named, dict) else {}
    # What is no mapping was reported above.
    mappings = {name: one for name, one in sections.items() if isinstance(one, dict)}
    found, more = _configured(mappings, source, shared)
    return tuple(one for one in found if one.enabled), list(SettingsError(faults=[*faults, *more]).faults)


def _shared(settings: Settings) -> dict[str, Any]:
    """Return what the whole configuration says for every consumer whose own section does not."""
    shared = {name: getattr(settings, name) for name in ("coverage", "base_branches", "components", "overrides")}
    return shared | {"attachments_mb_per_run": settings.state.attachments_mb_per_run}


def _configured(
    sections: Mapping[str, Mapping[str, Any]], source: Source, shared: Mapping[str, Any]
) -> tuple[tuple[Instance, ...], tuple[Fault, ...]]:
    found: list[Instance] = []
    faults: list[Fault] = []
    for name in dict.fromkeys((*ALWAYS, *sections)):
        try:
            found += _instances_of(name, sections.get(name, {}), source, shared)
        except SettingsError as error:
            faults += error.faults
    return tuple(found), tuple(faults)


def _instances_of(name: str, raw: Mapping[str, Any], source: Source, shared: Mapping[str, Any]) -> tuple[Instance, ...]:
    key = ("consumers", name)
    try:
        consumer = load_consumer(name)
    except UnknownConsumerError as error:
        raise SettingsError(faults=[source.fault(key, str(error))]) from None
    fields, whole = consumer.settings.model_fields, {**Settings.model_fields, **StateSettings.model_fields}
    taken = (field for field in shared if field in fields and fields[field].annotation == whole[field].annotation)
    if "components" in raw and "components" in fields:
        raise SettingsError(faults=[source.fault((*key, "components"), _AT_THE_TOP)])
    raw = {**{field: shared[field] for field in taken}, **raw}
    if not consumer.targeted:
        own = parse(consumer.settings, raw, source, ".".join(key))
        return (Instance(consumer=consumer, target=None, settings=own),)
    targets_model = create_model(
        f"{name}Targets",
        __base__=Section,
        targets=(dict[str, consumer.settings], ...),  # type: ignore[name-defined]
    )
    targets = parse(targets_model, raw, source, ".".join(key)).targets  # type: ignore[attr-defined]
    try:
        targets = consumer.arrange(targets)
    except ValueError as error:
        raise SettingsError(faults=[source.fault((*key, "targets"), str(error))]) from None
    found = tuple(Instance(consumer=consumer, target=target, settings=value) for target, value in targets.items())
    faults = []
    for one in found:
        try:
            _ = one.subscription
        except SubscriptionNameError as error:
            faults.append(source.fault((*key, "targets", str(one.target)), str(error)))
    if faults:
        raise SettingsError(faults=faults)
    return found

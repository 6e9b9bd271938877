"""Which consumers there are, and which of them a configuration runs."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from testbus_consumers import registry
from testbus_consumers.errors import SettingsError, UnknownConsumerError
from testbus_consumers.runtime import Consumer
from testbus_consumers.settings import Section, Settings


class Target(Section):
    """Settings of one target of the sample."""

    #: Where it is.
    endpoint: str
    #: Whether it runs.
    enabled: bool = True


#: A consumer of somebody else's package, with targets.
THEIRS = Consumer(name="theirs", settings=Target, handlers={}, targeted=True)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that announces a consumer, and one that would replace `gates`."""
    mine = f"{__name__}:THEIRS"
    announced = [EntryPoint(name, mine, registry.GROUP) for name in ("theirs", "gates")]
    monkeypatch.setattr(registry, "entry_points", lambda group: announced if group == registry.GROUP else [])
    monkeypatch.setattr(registry, "import_module", _import)


def _import(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 the real one, under the name that is replaced
    from types import SimpleNamespace  # noqa: PLC0415

    return SimpleNamespace(THEIRS=THEIRS) if name == __name__ else import_module(name)


def configured(**sections: Any) -> Settings:
    """Return a configuration with these consumers."""
    return Settings(consumers=sections)


def test_runs_gates_and_requests_always_run() -> None:
    """Without them there is no verdict."""
    assert [one.label for one in registry.instances(Settings())] == ["runs", "gates", "requests"]
    assert [one.label for one in registry.instances(configured(gates=None))] == ["runs", "gates", "requests"]


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_built_in_consumers_are_what_the_table_says(name: str) -> None:
    """Each is there under its name, says what it does, and has a queue that a broker can be told of."""
    consumer = registry.load_consumer(name)
    assert consumer.name == name
    assert consumer.summary
    # No pattern of an event leads to the queue of requests.
    assert bool(consumer.patterns) is (name != "requests")
    assert all(pattern.endswith(".*") for pattern in consumer.patterns)


@pytest.mark.usefixtures("installed")
def test_other_packages_add_consumers_and_replace_none() -> None:
    """What an entry point announces can be configured; a built-in consumer keeps its name."""
    assert registry.load_consumer("theirs") is THEIRS
    assert registry.load_consumer("gates") is not THEIRS


@pytest.mark.usefixtures("installed")
def test_each_target_is_an_instance_of_its_own() -> None:
    """With a queue, a label and settings of its own."""
    found = registry.instances(configured(theirs={"targets": {"eu": {"endpoint": "a"}, "us": {"endpoint": "b"}}}))
    assert [(one.label, one.queue, one.subscription.queue) for one in found[3:]] == [
        ("theirs/eu", "theirs.eu", "testbus.queue.theirs.eu"),
        ("theirs/us", "theirs.us", "testbus.queue.theirs.us"),
    ]
    assert found[3].settings == Target(endpoint="a")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ({"eu": {}}, "consumers.theirs.targets.eu.endpoint: is missing"),
        (
            {"eu": {"endpoint": "a", "uri": "b"}},
            "consumers.theirs.targets.eu.uri: unknown key; allowed here: enabled, endpoint",
        ),
        ({"eu": None}, "consumers.theirs.targets.eu: expected a mapping with the keys: enabled, endpoint"),
        ({"EU West": {"endpoint": "a"}}, "consumers.theirs.targets.EU West: 'theirs.EU West' cannot name a queue"),
        ({"a.b": {"endpoint": "a"}}, "consumers.theirs.targets.a.b: 'theirs.a.b' cannot name a queue"),
    ],
)
def test_a_faulty_target_is_named(targets: Any, told: str) -> None:
    """By the path of its key."""
    with pytest.raises(SettingsError) as caught:
        registry.instances(configured(theirs={"targets": targets}))
    assert told in str(caught.value)


@pytest.mark.usefixtures("installed")
def test_a_label_finds_a_consumer_all_of_its_targets_or_one() -> None:
    """As on the command line; the queue's name works too."""
    running = configured(theirs={"targets": {"eu": {"endpoint": "a"}, "us": {"endpoint": "b"}}})
    labels = {
        label: [one.label for one in registry.find(running, label)]
        for label in ("gates", "theirs", "theirs/us", "theirs.us")
    }
    assert labels == {
        "gates": ["gates"],
        "theirs": ["theirs/eu", "theirs/us"],
        "theirs/us": ["theirs/us"],
        "theirs.us": ["theirs/us"],
    }


@pytest.mark.usefixtures("installed")
def test_what_is_not_enabled_is_left_out() -> None:
    """It has no instance, so that nothing takes from its queue; whoever names it is told why."""
    running = configured(theirs={"targets": {"eu": {"endpoint": "a"}, "us": {"endpoint": "b", "enabled": False}}})
    assert [one.label for one in registry.instances(running)] == ["runs", "gates", "requests", "theirs/eu"]
    assert [one.label for one in registry.find(running, "theirs")] == ["theirs/eu"]
    with pytest.raises(UnknownConsumerError, match=r"'theirs/us' is not enabled: set enabled: true"):
        registry.find(running, "theirs/us")


def test_a_consumer_without_targets_can_be_left_out_too() -> None:
    """With everything else in its section as it was, and still checked."""
    slack = {"token": {"env": "T"}, "channel": "C0SANDBOX01", "enabled": False}
    assert [one.label for one in registry.instances(configured(slack=slack))] == ["runs", "gates", "requests"]
    with pytest.raises(SettingsError, match=r"consumers\.slack\.channel"):
        registry.instances(configured(slack=slack | {"channel": "#ci"}))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """Whether it is not installed or not configured."""
    with pytest.raises(UnknownConsumerError, match=r"'slack' is not configured; there are: runs, gates, requests"):
        registry.find(Settings(), "slack")
    with pytest.raises(UnknownConsumerError, match=r"no consumer 'nobody' is installed; there are: gates, "):
        registry.load_consumer("nobody")

"""docker-compose.yml and the Dockerfile, held to the code: no engine is needed to know that they fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from testbus.main import cli
from testbus_broker import accounts
from testbus_consumers import registry, settings
from testbus_consumers.runtime import metrics

ROOT = Path(__file__).parents[2]

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

#: Those that run our image.
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

#: Those that are somebody else's.
THEIRS = {name: service for name, service in SERVICES.items() if "build" not in service}

#: Consumers' workers.
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}

#: Where the configuration is mounted.
CONFIG = ROOT / "deploy" / "testbus.yaml"


def parsed(arguments: list[str]) -> tuple[click.Command, dict[str, Any]]:
    """Return the command that a command line means, and its parameters, by click's own parser."""
    command: click.Command = cli
    rest = list(arguments)
    context = click.Context(command, info_name="testbus")
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=command.name, parent=context)
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    return command, command.make_context(command.name, rest, parent=context).params


@pytest.fixture(scope="module")
def everything() -> settings.Settings:
    """Give the configuration with all that can be enabled."""
    text = CONFIG.read_text(encoding="utf-8").replace("enabled: false", "enabled: true")
    return settings.parse(settings.Settings, yaml.safe_load(text), str(CONFIG))


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one(name: str) -> None:
    """Our services say nothing that the command line would refuse."""
    command, _ = parsed(OURS[name]["command"])
    assert command.callback is not None


def test_every_consumer_has_a_service_that_works_its_queues(everything: settings.Settings) -> None:
    """Nobody forgets a consumer: each that comes with testbus has a service of its name, for all of its queues."""
    assert WORKERS.keys() == registry.BUILT_IN.keys()
    queues = []
    for name, service in WORKERS.items():
        _, given = parsed(service["command"])
        assert given["consumers"] == (name,)
        queues += [one.subscription.queue for one in registry.find(everything, name)]
    assert sorted(queues) == sorted(one.subscription.queue for one in registry.instances(everything))


def test_what_is_not_enabled_needs_its_profile() -> None:
    """`docker compose up` starts what the configuration runs; a profile is named as the consumer that it adds."""
    running = {one.consumer.name for one in registry.instances(settings.load(CONFIG))}
    assert {name for name, service in WORKERS.items() if "profiles" not in service} == running
    assert all(service.get("profiles", [name]) == [name] for name, service in WORKERS.items())


def test_the_configuration_is_valid_and_where_the_services_look() -> None:
    """The mounted file is the one that is named, and its secrets are files that the services are given."""
    for service in OURS.values():
        (config,) = service["configs"]
        assert service["environment"] == {settings.CONFIG_VARIABLE: config["target"]}
        assert COMPOSE["configs"][config["source"]]["file"] == "./deploy/testbus.yaml"
    running = {one.label for one in registry.instances(settings.load(CONFIG))}
    assert running == {"runs", "gates", "requests", "regressions"}


@pytest.mark.parametrize("name", OURS)
def test_every_service_has_the_secrets_that_its_part_of_the_configuration_reads(
    name: str, everything: settings.Settings
) -> None:
    """Each is given what it reads, and a worker nothing of the others."""
    shared = [everything.broker.url, everything.state.url, everything.redis.url]
    if name == "declare":
        shared.append(everything.broker.management)
    instances = [one for one in registry.instances(everything) if name in {"check", one.consumer.name}]
    own = [value for one in instances for _, value in one.settings if isinstance(value, settings.Secret)]
    wanted = {secret.file.name for secret in (*shared, *own) if secret is not None and secret.file is not None}
    given = {one if isinstance(one, str) else one["target"] for one in OURS[name]["secrets"]}
    assert {one for one in given if "/" not in one} == wanted


def test_every_account_has_its_password() -> None:
    """Those that are declared, each in the file that the command reads, and the workers' in their URL."""
    _, told = parsed(OURS["declare"]["command"])
    given = [one for one in OURS["declare"]["secrets"] if isinstance(one, dict)]
    folder = str(told["passwords"]).removeprefix("/run/secrets/")
    wanted = {f"{folder}/{one.name}" for one in accounts.accounts(told["projects"])}
    assert {one["target"] for one in given if "/" in one["target"]} == wanted
    assert next(one["source"] for one in given if one["target"] == "broker_url") == "broker_admin_url"


def test_every_secret_and_volume_is_declared_and_has_an_example() -> None:
    """A new installation copies the examples; nothing secret is checked in, or sent to whoever builds the image."""
    named = {one if isinstance(one, str) else one["source"] for s in SERVICES.values() for one in s.get("secrets", ())}
    assert named == COMPOSE["secrets"].keys()
    for secret in COMPOSE["secrets"].values():
        assert (ROOT / f"{secret['file']}.example").is_file()
    volumes = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert volumes == COMPOSE["volumes"].keys()
    ignored = (ROOT / "deploy" / "secrets" / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1:] == ["*", "!.gitignore", "!*.example"]
    assert "!deploy" not in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_examples_fit_each_other() -> None:
    """The passwords in the URLs are the servers' own, and the hosts are services."""

    def example(name: str) -> str:
        return (ROOT / "deploy" / "secrets" / f"{name}.example").read_text(encoding="utf-8").strip()

    passwords = {
        "broker_url": re.search(r"(\S+)", example("workers_password")),
        "broker_admin_url": re.search(r"default_pass = (\S+)", example("rabbitmq.conf")),
        "management_url": re.search(r"default_pass = (\S+)", example("rabbitmq.conf")),
        "redis_url": re.search(r"requirepass (\S+)", example("redis.conf")),
        "state_url": re.search(r"(\S+)", example("postgres_password")),
    }
    for url, password in passwords.items():
        assert password is not None
        found = re.fullmatch(r"\w+://[\w-]*:(?P<password>[^@]+)@(?P<host>\w+)[:/].*", example(url))
        assert found is not None
        assert found["password"] == password[1]
        assert found["host"] in THEIRS


@pytest.mark.parametrize("name", THEIRS)
def test_servers_are_pinned_checked_and_restarted(name: str) -> None:
    """An image of one major version, a health check, and a restart."""
    service = THEIRS[name]
    assert re.fullmatch(r"\w+:\d+(\.\d+)*(-\w+)?", service["image"])
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"


def test_workers_wait_for_what_they_need_and_can_be_many() -> None:
    """Schemas and queues come first; nothing in a worker's service is there only once."""
    for service in WORKERS.values():
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert service["depends_on"]["declare"] == {"condition": "service_completed_successfully"}
        assert not service.keys() & {"container_name", "ports", "hostname", "volumes"}
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[needed]


def test_a_workers_health_is_asked_where_it_answers() -> None:
    """The health check asks the port that the command opens."""
    for service in WORKERS.values():
        _, given = parsed(service["command"])
        assert f"127.0.0.1:{given['metrics_port']}/metrics" in service["healthcheck"]["test"][-1]
        assert given["metrics_host"] == "0.0.0.0"
    assert metrics.FOLDER_VARIABLE not in COMPOSE["x-testbus"]["environment"]


def test_variables_are_ones_that_somebody_reads() -> None:
    """No variable of ours in the files that the code does not know."""
    read = {settings.CONFIG_VARIABLE, settings.HOME_VARIABLE, settings.URL_VARIABLE, settings.DATABASE_VARIABLE}
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("docker-compose.yml", "Dockerfile"))
    assert set(re.findall(r"\bTESTBUS_\w+", text)) <= read


def test_the_image_is_made_of_what_is_there() -> None:
    """What is copied exists and reaches the builder; the code runs as nobody in particular; packages are all there."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        source for line in lines if line.startswith("COPY ") and "--from" not in line for source in line.split()[1:-1]
    ]
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in sent
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = set(re.findall(r'^    "(\w+)/testbus\w*",$', project, re.MULTILINE))
    assert packages
    assert packages < set(copied)
    assert any(re.fullmatch(r"USER \d+", line) for line in lines)
    assert all(re.fullmatch(r"FROM python:3\.13-slim( AS \w+)?", line) for line in lines if line.startswith("FROM"))


def test_the_image_fetches_nothing_that_is_not_locked() -> None:
    """Each pip of the build installs a lock, with hashes and no more, or what has been built without isolation."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    locked = re.search(r'^ARG LOCKED="(.*)"$', text, re.MULTILINE)
    assert locked is not None
    assert {"--no-deps", "--require-hashes", "--only-binary"} < set(locked[1].split())
    called = [one.strip() for one in re.findall(r"pip (?:install|wheel|download) [^&\n]*", text)]
    assert {one for one in called if "$LOCKED" not in one} == {
        "pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .",
        "pip install --no-cache-dir --no-deps /dist/*.whl",
    }
    installed = {one.partition("-r ")[2] for one in called if "$LOCKED" in one}
    assert installed == {"requirements/build.txt", "requirements/runtime.txt"}

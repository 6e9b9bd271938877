"""`testbus broker`: the topology, and the accounts."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option
from testbus_consumers.wording.numbers import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus_broker.accounts import Account, DeclaredUser
    from testbus_broker.declare import Declared
    from testbus_broker.queues import Remainder
    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import BrokerSettings, Settings


@click.command()
@click.argument("consumer", metavar="CONSUMER[/TARGET]")
@json_option
def unbind(consumer: str, *, as_json: bool) -> None:
    """Let no new event come to CONSUMER: its workers finish what waits, and then it can be removed.

    `testbus broker declare` binds it again, as long as it is configured.
    """
    from testbus_broker import queues  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Subscription  # noqa: PLC0415 the same
    from testbus_consumers import settings  # noqa: PLC0415 the same

    configured = settings.load()
    url, allowed = configured.broker.url.reveal(), configured.broker.allow_plaintext
    subscription = Subscription(name=consumer.replace("/", ".", 1))
    queues.unbind(url, subscription, allow_plaintext=allowed)
    left = queues.look(url, subscription, configured.broker.delay_steps, allow_plaintext=allowed)
    if as_json:
        echo_json({"consumer": consumer, "queues": left.queues, "messages": left.messages, "workers": left.workers})
    else:
        click.echo(f"{consumer}: nothing new arrives; {left.messages:,} messages wait, {left.workers} workers")


@click.command()
@click.argument("consumers", nargs=-1, metavar="[CONSUMER[/TARGET]]...")
@click.option("--dry-run", is_flag=True, help="Only report.")
@click.option("--force", is_flag=True, help="With what waits in them: it is lost here. Asks, unless --yes is given.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def prune(consumers: tuple[str, ...], *, dry_run: bool, force: bool, yes: bool, as_json: bool) -> int:
    """Delete the queues of consumers and targets that are no longer configured, if they are empty; exits 1 if not all.

    Without a name these are all that ever had a worker with the configured state.
    """
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported

    configured = settings.load()
    found = leftovers(configured, tuple(name.replace("/", ".", 1) for name in consumers))
    waiting = sum(one.messages for one in found)
    if force and waiting and not (dry_run or yes):
        click.confirm(f"Throw {waiting:,} messages away?", abort=True, err=True)
    outcome = [_pruned(configured, one, dry_run=dry_run, force=force) for one in found]
    if as_json:
        echo_json(outcome)
    else:
        for one in outcome:
            click.echo(f"{one['consumer']}: {one['detail']}")
        if not outcome:
            click.echo("nothing to prune")
    return Exit.OK if all(one["deleted"] or dry_run for one in outcome) else Exit.FAILED


def leftovers(configured: Settings, names: tuple[str, ...] = ()) -> list[Remainder]:
    """Return what is at the broker of queues that are not configured: those that are named, else all that are known.

    Raises CliError for a named one that is configured.
    """
    from testbus_broker import queues  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Subscription  # noqa: PLC0415 the same
    from testbus_consumers import overview, registry  # noqa: PLC0415 the same

    running = {one.queue for one in registry.configured(configured)}
    if still := sorted(running.intersection(names)):
        label = still[0].replace(".", "/", 1)
        raise CliError(f"{label} is still configured: `testbus broker unbind {label}` first, then take it out")
    wanted = names or sorted(overview.queues(configured.state_url()) - running)
    found = [
        queues.look(
            configured.broker.url.reveal(),
            Subscription(name=name),
            configured.broker.delay_steps,
            allow_plaintext=configured.broker.allow_plaintext,
        )
        for name in wanted
    ]
    return [one for one in found if one.queues]


def _pruned(configured: Settings, one: Remainder, *, dry_run: bool, force: bool) -> dict[str, Any]:
    from testbus_broker import queues  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Subscription  # noqa: PLC0415 the same

    url, allowed = configured.broker.url.reveal(), configured.broker.allow_plaintext
    label = one.name.replace(".", "/", 1)
    outcome = {"consumer": label, "queues": one.queues, "workers": one.workers, "deleted": False}
    subscription = Subscription(name=one.name)
    if not dry_run and subscription.queue in one.queues:
        queues.unbind(url, subscription, allow_plaintext=allowed)
    if one.workers:
        return outcome | {"detail": f"{plural(one.workers, 'worker')} still on this queue: end what consumes it"}
    if one.messages and not force:
        return outcome | {
            "detail": f"{plural(one.messages, 'message')} waiting: configure it again to drain it, or use --force"
        }
    holds = f"{plural(len(one.queues), 'queue')} with {plural(one.messages, 'message')}"
    if dry_run:
        return outcome | {"detail": f"{holds} would be deleted"}
    queues.delete(url, one, allow_plaintext=allowed)
    return outcome | {"deleted": True, "detail": f"{holds} deleted"}


project_option = click.option(
    "--project", "projects", multiple=True, metavar="NAME", help="A project whose runners get an account; repeatable."
)

approver_option = click.option(
    "--approver",
    "approved",
    multiple=True,
    metavar="NAME",
    help="A project whose approvers get an account: they may override its rules; repeatable.",
)

passwords_option = click.option(
    "--passwords",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Files named as the accounts, each a password; what is made new is written there. [default: shown once]",
)


@click.command()
@project_option
@approver_option
@passwords_option
@click.option("--vhost", default="/", show_default=True, help="Virtual host that the permissions are for.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["definitions", "rabbitmqctl"]),
    default="definitions",
    show_default=True,
    help="JSON that RabbitMQ loads, with hashed passwords; or commands, which ask for them.",
)
@click.option(
    "--celery",
    is_flag=True,
    help="With the permissions that Celery's own tools need (settings under `celery`).",
)
def users(
    projects: tuple[str, ...],
    approved: tuple[str, ...],
    passwords: Path | None,
    vhost: str,
    form: str,
    *,
    celery: bool,
) -> None:
    """Print the accounts that a deployment needs, and their permissions; changes nothing.

    Passwords that are made here go to FOLDER, or to standard error, once.
    """
    from testbus_broker import accounts  # noqa: PLC0415 for the help nothing is imported

    wanted = accounts.accounts(projects, approved, celery=celery)
    if form == "rabbitmqctl":
        for command in accounts.commands(wanted, vhost):
            click.echo(shlex.join(["rabbitmqctl", *command]))
        return
    known = _read(passwords, wanted)
    made = {one.name: accounts.new_password() for one in wanted if one.name not in known}
    if passwords is not None:
        _write(passwords, made)
    else:
        for name, password in made.items():
            click.echo(f"{name} {password}", err=True)
    click.echo(json.dumps(accounts.definitions(wanted, vhost, known | made), indent=2))


def declare_accounts(
    broker: BrokerSettings,
    projects: Iterable[str],
    approved: Iterable[str],
    passwords: Path | None,
    *,
    celery: bool,
) -> tuple[DeclaredUser, ...]:
    """Make the accounts exist in the virtual host of the broker's URL; new passwords go to the folder, if there is one.

    Raises BrokerError and CliError.
    """
    from testbus_broker import accounts  # noqa: PLC0415 as above
    from testbus_broker.accounts import Management, Rabbitmqctl, declare_users  # noqa: PLC0415 the same
    from testbus_broker.connection import parameters  # noqa: PLC0415 the same

    wanted = accounts.accounts(projects, approved, celery=celery)
    known = _read(passwords, wanted)
    url, allowed = broker.url.reveal(), broker.allow_plaintext
    vhost = parameters(url, allow_plaintext=allowed).virtual_host
    admin = (
        Rabbitmqctl(url, allow_plaintext=allowed)
        if broker.management is None
        else Management(broker.management.reveal(), allow_plaintext=allowed)
    )
    if passwords is not None:
        # Written first: a password that nobody has is worse than one that nobody uses yet.
        made = {one.name: accounts.new_password() for one in wanted if one.name not in admin.existing() | known.keys()}
        _write(passwords, made)
        known |= made
    return declare_users(admin, wanted, vhost, known)


def shown(one: DeclaredUser) -> dict[str, Any]:
    """Return what became of an account, as JSON data."""
    return {"name": one.account.name, "kind": "user", "state": one.state, "password": one.password}


def print_accounts(declared: Iterable[DeclaredUser]) -> None:
    """Print what became of accounts; a password that was made is shown this once."""
    for one in declared:
        click.echo(f"{one.state:8} {'user':9} {one.account.name} ({one.account.purpose})")
        if one.password is not None:
            click.echo(f"         password, shown this once: {one.password}")


def _read(folder: Path | None, wanted: Iterable[Account]) -> dict[str, str]:
    """Return the passwords that the folder holds, by account."""
    found = {}
    for one in wanted if folder is not None else ():
        assert folder is not None
        try:
            password = (folder / one.name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"{folder / one.name} cannot be read: {getattr(error, 'strerror', 'not UTF-8')}") from None
        if not password:
            raise CliError(f"{folder / one.name} is empty: write a password into it, or remove it for a new one")
        found[one.name] = password
    return found


def _write(folder: Path, passwords: Mapping[str, str]) -> None:
    """Write new passwords, each into a file of its own that nobody else may read."""
    if not passwords:
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, password in passwords.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(password + "\n")
    except OSError as error:
        raise CliError(f"{folder}: new passwords cannot be written there: {error.strerror}") from None


@click.group()
def broker() -> None:
    """Look after the broker."""


broker.add_command(users)
broker.add_command(unbind)
broker.add_command(prune)


@broker.command()
@click.option("--users", "with_users", is_flag=True, help="Accounts too: operator, workers, monitor, runners.")
@project_option
@approver_option
@passwords_option
@json_option
def declare(
    projects: tuple[str, ...],
    approved: tuple[str, ...],
    passwords: Path | None,
    *,
    with_users: bool,
    as_json: bool,
) -> int:
    """Declare exchanges, queues, delays, dead letters and the stream; safe to repeat. Exits 1 on drift.

    For a queue that was made when there were events already, the command that fills it is printed. Accounts go in
    through broker.management of the configuration, else through the rabbitmqctl of this machine.
    """
    from testbus_broker.declare import declare as make  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Topology  # noqa: PLC0415 the same
    from testbus_consumers import registry, settings  # noqa: PLC0415 the same

    if (projects or approved or passwords) and not with_users:
        raise CliError("--project, --approver and --passwords are about accounts: add --users")
    configured = settings.load()
    instances = registry.instances(configured)
    topology = Topology.of(
        [one.subscription for one in instances],
        delay_steps=configured.broker.delay_steps,
        delivery_limit=configured.broker.delivery_limit,
    )
    declared = make(configured.broker.url.reveal(), topology, allow_plaintext=configured.broker.allow_plaintext)
    replays = _replays(instances, declared)
    celery = configured.celery.remote_control or configured.celery.task_events
    accounts = declare_accounts(configured.broker, projects, approved, passwords, celery=celery) if with_users else ()
    if as_json:
        echo_json(
            [asdict(one) | {"replay": replays.get(one.name)} for one in declared] + [shown(one) for one in accounts]
        )
    else:
        for one in declared:
            click.echo(f"{one.state:8} {one.kind:9} {one.name}" + (f"\n         {one.detail}" if one.detail else ""))
        if replays:
            click.echo("New queues know nothing of what was published before; to fill them:")
        for command in replays.values():
            click.echo(f"  {command}")
        print_accounts(accounts)
        for left in leftovers(configured):
            click.echo(f"{left.name} is no longer configured, {left.messages:,} messages wait: testbus broker prune")
    return Exit.FAILED if any(one.state == "drifted" for one in declared) else Exit.OK


def _replays(instances: Iterable[Instance], declared: Sequence[Declared]) -> dict[str, str]:
    """Return for each queue that is younger than the stream the command that fills it."""
    if any(one.kind == "stream" and one.state == "created" for one in declared):
        return {}
    newborn = {one.name for one in declared if one.newborn}
    labels = {one.subscription.queue: one.label for one in instances}
    return {queue: f"testbus replay {label}" for queue, label in labels.items() if queue in newborn}

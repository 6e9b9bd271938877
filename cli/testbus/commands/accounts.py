"""Accounts at the broker: `testbus broker users`, and `testbus broker declare --users`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbus.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_broker.account_admin import DeclaredUser
    from testbus_broker.accounts import Account
    from testbus_consumers.settings import BrokerSettings

project_option = click.option(
    "--project", "projects", multiple=True, metavar="NAME", help="A project whose runners get an account; repeatable."
)

passwords_option = click.option(
    "--passwords",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Files named as the accounts, each a password; what is made new is written there. [default: shown once]",
)


@click.command()
@project_option
@passwords_option
@click.option("--vhost", default="/", show_default=True, help="Virtual host that the rights are for.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["definitions", "rabbitmqctl"]),
    default="definitions",
    show_default=True,
    help="JSON that RabbitMQ loads, with hashed passwords; or commands, which ask for them.",
)
@click.option("--celery", is_flag=True, help="With the rights that Celery's own tools need (settings under `celery`).")
def users(projects: tuple[str, ...], passwords: Path | None, vhost: str, form: str, *, celery: bool) -> None:
    """Print the accounts that a deployment needs, and their rights; nothing is changed.

    Passwords that are made here go to FOLDER, or to standard error, once.
    """
    from testbus_broker import accounts  # noqa: PLC0415 for the help nothing is imported

    wanted = accounts.accounts(projects, celery=celery)
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
    broker: BrokerSettings, projects: Iterable[str], passwords: Path | None, *, celery: bool
) -> tuple[DeclaredUser, ...]:
    """Make the accounts exist in the virtual host of the broker's URL; new passwords go to the folder, if there is one.

    Raises BrokerError and CliError.
    """
    from testbus_broker import accounts  # noqa: PLC0415 as above
    from testbus_broker.account_admin import Management, Rabbitmqctl, declare_users  # noqa: PLC0415 the same
    from testbus_broker.connection import parameters  # noqa: PLC0415 the same

    wanted = accounts.accounts(projects, celery=celery)
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

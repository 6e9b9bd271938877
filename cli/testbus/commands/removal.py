"""`testbus broker unbind` and `testbus broker prune`: how a consumer or a target goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option
from testbus_consumers.wording.numbers import plural

if TYPE_CHECKING:
    from testbus_broker.queues import Remainder
    from testbus_consumers.settings import Settings


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
@click.option("--dry-run", is_flag=True, help="Only tell.")
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
    told = [_pruned(configured, one, dry_run=dry_run, force=force) for one in found]
    if as_json:
        echo_json(told)
    else:
        for one in told:
            click.echo(f"{one['consumer']}: {one['detail']}")
        if not told:
            click.echo("nothing to prune")
    return Exit.OK if all(one["deleted"] or dry_run for one in told) else Exit.FAILED


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
    told = {"consumer": label, "queues": one.queues, "workers": one.workers, "deleted": False}
    subscription = Subscription(name=one.name)
    if not dry_run and subscription.queue in one.queues:
        queues.unbind(url, subscription, allow_plaintext=allowed)
    if one.workers:
        return told | {"detail": f"{plural(one.workers, 'worker')} still on this queue: end what consumes it"}
    if one.messages and not force:
        return told | {
            "detail": f"{plural(one.messages, 'message')} waiting: configure it again to drain it, or use --force"
        }
    holds = f"{plural(len(one.queues), 'queue')} with {plural(one.messages, 'message')}"
    if dry_run:
        return told | {"detail": f"{holds} would be deleted"}
    queues.delete(url, one, allow_plaintext=allowed)
    return told | {"deleted": True, "detail": f"{holds} deleted"}

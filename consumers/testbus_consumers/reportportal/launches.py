"""One launch for each run: started by whichever event comes first, kept up to date, finished once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from testbus_consumers.reportportal import launch_payloads, suites
from testbus_consumers.reportportal import text as texts
from testbus_consumers.reportportal.client import KnownLaunch
from testbus_consumers.reportportal.errors import AlreadyFinishedError, NotThereError
from testbus_consumers.reportportal.state import (
    COMPLETION_PART,
    OWNER,
    VARIANT_PART,
    VERDICT_PART,
    LaunchPart,
    keep_part,
    parts_of_run,
)
from testbus_consumers.reportportal.tree import Identities, identities_of
from testbus_consumers.store.engine import insert
from testbus_consumers.wording import launches as wording
from testbus_consumers.wording import markdown
from testbus_schemas import LaunchLinked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.client import PortalEffects
    from testbus_consumers.reportportal.launch_payloads import Pair
    from testbus_consumers.reportportal.settings import ReportPortalTarget
    from testbus_consumers.runtime import RunCompletion, State
    from testbus_schemas import Event, RunContext

#: Status of a launch or item that is not finished.
IN_PROGRESS: Final = "IN_PROGRESS"

#: Attribute of a launch that a person stopped.
_STOPPED: Final = ("status", "stopped")

#: How often a launch is updated again because another worker had something new for it meanwhile.
_ROUNDS: Final = 5

#: Between the paragraphs of a launch's description.
_BLANK: Final = "\n\n"

#: How the paragraphs begin that are ours to replace, or were an older version's; what a person wrote begins otherwise.
_OURS: Final = (*(f"**{state}**" for state in wording.STATES), "**Verdict ")


def identities(effects: PortalEffects, context: RunContext) -> Identities:
    """Return the uuids of a run at this target."""
    return identities_of(effects.settings, effects.consumer, context.project, context.run)


def identities_for(effects: PortalEffects, event: Event[Any], known: KnownLaunch) -> Identities:
    """Return the uuids of what a producer's event reports.

    Two producers of one part of a run are one too many (a shard that was started twice): each has items of its own, as
    each counts for the verdict.
    """
    context, origin = event.data.context, event.data.producer
    ids = identities(effects, context)
    if origin is None:
        return ids
    place = (context.variant, context.shard_index, context.attempt)
    if place not in known.owners:
        with effects.transaction() as state:
            known.owners[place] = _owner(state, ids, place, origin.id)
    return ids if known.owners[place] == origin.id else replace(ids, producer=origin.id)


def _owner(state: State[Any], ids: Identities, place: tuple[str, int, int], producer: str) -> str:
    """Return the producer that reported a part of a run first: this one, if there is none yet."""
    row = dict(zip(("variant", "shard", "ci_attempt"), place, strict=True)) | {"project": ids.project, "run": ids.run}
    state.execute(insert(state.connection, OWNER).values(**row, producer=producer).on_conflict_do_nothing())
    ours = (OWNER.c[name] == value for name, value in row.items())
    return str(state.execute(select(OWNER.c.producer).where(*ours)).scalar_one())


def ensure(effects: PortalEffects, context: RunContext) -> KnownLaunch:
    """Return the run's launch, started if it is not there, and told of this context's variant."""
    ids = identities(effects, context)
    client = effects.client
    if effects.resent:
        # That somebody deleted it may be why it is sent again.
        client.drop(ids.launch)
    known = client.known(ids.launch)
    if known is None:
        known = client.remember(client.call(lambda api: _start(api, effects.settings, context, ids)))
        _keep_variant(effects, ids, context, known)
    if context.variant not in known.variants:
        _keep_variant(effects, ids, context)
        update_texts(effects, context)
        known.variants.add(context.variant)
    return known


def finish(effects: PortalEffects, completion: RunCompletion) -> str:
    """Finish the run's launch if that has not been done, tell it what is missing, and return its status."""
    ids = identities(effects, completion.context)
    known = ensure(effects, completion.context)
    end_ms = max(launch_payloads.milliseconds(completion.finished_at), known.start_ms)
    part = LaunchPart(
        name=COMPLETION_PART,
        revision=completion.revision,
        pairs=tuple(launch_payloads.completion_pairs(completion)),
        text=launch_payloads.completion_text(completion),
    )
    with effects.transaction() as state:
        keep_part(state, ids, part)
    # Kept before the suites are finished: what comes from now on below one of them has its status computed anew.
    suites.finish(effects, ids, end_ms)
    status = effects.client.call(lambda api: _finish(api, ids, completion, end_ms))
    update_texts(effects, completion.context)
    return status


def update_texts(effects: PortalEffects, context: RunContext) -> None:
    """Bring a launch's attributes and description up to date with all that is known of it.

    They can only be replaced as a whole. Whoever replaced them looks once more whether another worker has kept
    something new meanwhile; so the last word is always told, whatever the order in which requests arrive.
    """
    ids = identities(effects, context)
    for _ in range(_ROUNDS):
        with effects.transaction() as state:
            known = parts_of_run(state, ids)
        if not effects.client.call(lambda api, known=known: _update_texts(api, ids, context, known)):  # type: ignore[misc]
            return
        with effects.transaction() as state:
            if parts_of_run(state, ids) == known:
                return


def _keep_variant(
    effects: PortalEffects, ids: Identities, context: RunContext, fresh: KnownLaunch | None = None
) -> None:
    """Keep the attributes of a variant, and say where a launch is that this process has not known before."""
    pairs = tuple(launch_payloads.variant_pairs(context))
    with effects.transaction() as state:
        keep_part(state, ids, LaunchPart(name=f"{VARIANT_PART}{context.variant}", revision=0, pairs=pairs, text=""))
        if fresh is not None and fresh.url:
            target = effects.settings.name or effects.consumer
            linked = LaunchLinked(context=context, target=target, uuid=fresh.uuid, number=fresh.number, url=fresh.url)
            state.emit(linked, counted=(target, fresh.uuid))


async def _start(api: Api, settings: ReportPortalTarget, context: RunContext, ids: Identities) -> KnownLaunch:
    fresh = await api.start_launch(launch_payloads.start(settings, context, ids))
    found = await api.find_launch(ids.launch)
    if found is None:
        raise NotThereError(f"launch {ids.launch} was there and is gone: somebody deletes it")
    begun = launch_payloads.milliseconds(context.started_at) if fresh else launch_payloads.instant(found["startTime"])
    return KnownLaunch(
        uuid=ids.launch,
        start_ms=begun,
        variants={context.variant} if fresh else set(),
        number=found.get("number"),
        url=launch_payloads.page(settings, found),
    )


async def _finish(api: Api, ids: Identities, completion: RunCompletion, end_ms: int) -> str:
    try:
        await api.finish_launch(ids.launch, launch_payloads.finish(completion, end_ms))
    except AlreadyFinishedError as error:
        found = await api.find_launch(ids.launch)
        if found is None or found["status"] == IN_PROGRESS:
            raise NotThereError(f"{error}; and then it is not") from None
        stopped = any((one.get("key"), one.get("value")) == _STOPPED for one in found.get("attributes", ()))
        return f"was stopped by a person: {found['status']}" if stopped else f"was {found['status']}"
    return "finished"


async def _update_texts(api: Api, ids: Identities, context: RunContext, known: Sequence[LaunchPart]) -> bool:
    """Update a launch if that changes it, and tell whether it did. One that a person deleted stays deleted."""
    launch = await api.find_launch(ids.launch)
    if launch is None:
        return False
    before: list[Pair] = [(pair.get("key"), pair["value"]) for pair in launch.get("attributes", ())]
    pairs = _merged(before, known)
    text = _described(launch.get("description") or "", context, known)
    if pairs == before and text in {None, launch.get("description")}:
        return False
    await api.update_launch(int(launch["id"]), launch_payloads.update(pairs, text))
    return True


def _merged(before: Sequence[Pair], known: Sequence[LaunchPart]) -> list[Pair]:
    """Return the attributes that are there, with those of the decisions replaced and those of variants added."""
    decided = {part.name for part in known if part.name in {COMPLETION_PART, VERDICT_PART}}
    kept = [pair for pair in before if _part_of(pair) not in decided and pair[0] != launch_payloads.MORE]
    return launch_payloads.fitted([*kept, *(pair for part in known for pair in part.pairs)])


def _part_of(pair: Pair) -> str | None:
    key = pair[0] or ""
    if key == "complete":
        return COMPLETION_PART
    return VERDICT_PART if key == "verdict" or key.startswith("gate.") else None


def _described(before: str, context: RunContext, known: Sequence[LaunchPart]) -> str | None:
    """Return the description with our paragraphs brought up to date; None when a person has changed it."""
    paragraphs = before.split(_BLANK) if before else []
    origins = [one for one in paragraphs if one.endswith(_endings(context))]
    if any(one not in origins and not one.startswith(_OURS) for one in paragraphs):
        return None
    origin = texts.fit(origins[0] if origins else launch_payloads.description(context), texts.DESCRIPTION // 2)
    paragraph = _BLANK.join(part.text for part in _texts_of(known))
    room = texts.DESCRIPTION - texts.units(origin) - len(_BLANK)
    return f"{texts.fit(paragraph, room)}{_BLANK}{origin}" if paragraph else origin


def _texts_of(known: Sequence[LaunchPart]) -> list[LaunchPart]:
    """Return the parts with a paragraph; a verdict says what is missing as well as the decision that it stands on."""
    judged = max((part.revision for part in known if part.name == VERDICT_PART), default=0)
    return [part for part in known if part.text and not (part.name == COMPLETION_PART and part.revision <= judged)]


def _endings(context: RunContext) -> tuple[str, ...]:
    """Return how the paragraph ends that tells where a run comes from, and how an older version's did."""
    return (markdown.line(wording.origin(context)[-1:]), f"run `{context.run}`")

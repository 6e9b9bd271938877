"""What a launch says of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reportportal_client.core.rp_requests import ItemStartRequest, ItemUpdateRequest, LaunchFinishRequest
from reportportal_client.core.rp_requests import LaunchStartRequest as StartRequest

from testbus_consumers.reportportal import text as texts
from testbus_consumers.reportportal.settings import launch_name
from testbus_consumers.wording import launches as launch_wording
from testbus_consumers.wording import markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_consumers.reportportal.settings import ReportPortalTarget
    from testbus_consumers.reportportal.tree import Identities, Suite
    from testbus_consumers.runtime import RunCompletion
    from testbus_schemas import GateEvaluated, RunContext

#: How the request models of ReportPortal's library are to cut: always, to what the server takes.
CUT: Final = {"truncate_attributes_enabled": True, "truncate_fields_enabled": True, "replace_binary_characters": True}

#: Attributes in one request, at most: one less than ReportPortal takes, for the one that is the system's.
ATTRIBUTES: Final = 255

#: Key of the attribute that tells how many there was no room for.
MORE: Final = "attributes_cut"

#: What milliseconds are counted from.
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: An attribute: key (None for a tag) and value.
Pair = tuple[str | None, str]


def milliseconds(moment: datetime) -> int:
    """Return whole milliseconds since the epoch, the only form of an instant that every ReportPortal reads."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def instant(value: Any) -> int:
    """Return an instant as ReportPortal writes it, as whole milliseconds since the epoch."""
    if isinstance(value, int) or str(value).isdecimal():
        return int(value)
    return milliseconds(datetime.fromisoformat(str(value)))


def fitted(pairs: Iterable[Pair]) -> list[Pair]:
    """Return attributes as they will be there: in order, without blank or repeated ones, none too long or too many."""
    wanted = dict.fromkeys(
        (texts.fit(key, texts.ATTRIBUTE) if key else None, texts.fit(value, texts.ATTRIBUTE))
        for key, value in pairs
        if value.strip()
    )
    if len(wanted) <= ATTRIBUTES:
        return list(wanted)
    kept = list(wanted)[: ATTRIBUTES - 1]
    return [*kept, (MORE, f"{len(wanted) - len(kept)} more, for which there was no room")]


def attributes(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Return attributes as ReportPortal takes them."""
    return [{"key": key, "value": value} if key else {"value": value} for key, value in fitted(pairs)]


def launch_pairs(settings: ReportPortalTarget, context: RunContext) -> list[Pair]:
    """Return the attributes of a run that all of its parts share."""
    known = {
        "project": context.project,
        "suite": context.suite,
        "stage": context.stage,
        "branch": context.branch,
        "commit": context.commit,
        "pull_request": context.pull_request,
    }
    return [*settings.attributes.items(), *((key, value) for key, value in known.items() if value)]


def variant_pairs(context: RunContext) -> list[Pair]:
    """Return the attributes of one variant of a run."""
    named: list[Pair] = [("variant", context.variant)] if context.variant != "default" else []
    return [*named, *context.labels.items()]


def description(context: RunContext) -> str:
    """Return what a launch's description ends with: where the run comes from."""
    return markdown.line(launch_wording.origin(context))


def page(settings: ReportPortalTarget, launch: Mapping[str, Any]) -> str:
    """Return the address of a launch's page, as ReportPortal's own client makes it."""
    place = "userdebug" if launch.get("mode") == "DEBUG" else "launches"
    return f"{settings.endpoint}/ui/#{quote(settings.project.lower(), safe='')}/{place}/all/{launch['id']}"


def start(settings: ReportPortalTarget, context: RunContext, ids: Identities) -> dict[str, Any]:
    """Return the payload that starts a run's launch."""
    system = {"key": "agent", "value": f"testbus|{version('testbus')}", "system": True}
    request = StartRequest(
        name=texts.fit(launch_name(settings.launch_name, context), texts.LAUNCH_NAME),
        start_time=str(milliseconds(context.started_at)),
        attributes=[*attributes([*launch_pairs(settings, context), *variant_pairs(context)]), system],
        description=texts.fit(description(context), texts.DESCRIPTION),
        mode=settings.launch_mode,
        uuid=ids.launch,
        **CUT,
    )
    return dict(request.payload)


def start_suite(ids: Identities, suite: Suite, start_ms: int) -> dict[str, Any]:
    """Return the payload that starts a suite."""
    request = ItemStartRequest(
        name=suite.name,
        start_time=str(start_ms),
        type_="SUITE",
        launch_uuid=ids.launch,
        attributes=None,
        code_ref=suite.code_ref,
        description=_suite_text(suite),
        has_stats=True,
        parameters=None,
        retry=None,
        retry_of=None,
        test_case_id=None,
        uuid=suite.uuid,
        **CUT,
    )
    return dict(request.payload)


def describe_suite(suite: Suite) -> dict[str, Any]:
    """Return the payload that gives a suite its description."""
    return dict(ItemUpdateRequest(attributes=None, description=_suite_text(suite), **CUT).payload)


def finish(completion: RunCompletion, end_ms: int) -> dict[str, Any]:
    """Return the payload that finishes a launch; ReportPortal computes the status of a complete one."""
    status = None if completion.complete else "INTERRUPTED"
    return dict(LaunchFinishRequest(end_time=str(end_ms), status=status, **CUT).payload)


def update(pairs: Iterable[Pair], text: str | None) -> dict[str, Any]:
    """Return the payload that replaces a launch's attributes, and its description unless that is None."""
    return dict(ItemUpdateRequest(attributes=attributes(pairs), description=text, **CUT).payload)


def _suite_text(suite: Suite) -> str | None:
    return texts.fit(texts.without_scripts(suite.description), texts.DESCRIPTION) if suite.description else None


def completion_pairs(completion: RunCompletion) -> list[Pair]:
    """Return the attributes that tell whether all of a run is there."""
    return [("complete", "yes" if completion.complete else "no")]


def completion_text(completion: RunCompletion) -> str:
    """Return what is missing of a run; empty when nothing is."""
    return "" if completion.complete else markdown.line(launch_wording.incomplete(completion.reasons))


def verdict_pairs(data: GateEvaluated) -> list[Pair]:
    """Return the attributes that show the verdict, and that of each rule."""
    rules = [(f"gate.{rule.rule}", rule.outcome) for rule in data.rules]
    return [("verdict", data.verdict.value), *rules]


def verdict_text(data: GateEvaluated) -> str:
    """Return the verdict and why it is not another."""
    return markdown.line(launch_wording.verdict(data))

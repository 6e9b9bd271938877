"""The context of a run, as plain JSON data: from settings, the CI, and outside of a CI from git."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import clock, settings
from testbus_producers.context import ci
from testbus_producers.redaction.redactor import Redactor
from testbus_producers.redaction.secret_patterns import MASK
from testbus_schemas import identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_producers.context.git import WorkingCopy
    from testbus_producers.settings import Settings

#: Bounds in characters of the context's texts; longer ones are cut.
_LIMITS: Final = {
    "suite": 128,
    "stage": 64,
    "component": 48,
    "variant": 128,
    "repository": 256,
    "commit": 64,
    "base": 256,
    "branch": 256,
    "pull_request": 64,
    "build_url": 1024,
    "run_number": 64,
}

#: Texts of the context that others wrote, and that may hold an address with a login.
_REDACTED: Final = ("build_url", "repository", "branch", "base", "suite", "component", "variant")

#: Bound in characters of a project's name.
_MAX_PROJECT: Final = 64

#: Bound in characters of a run id.
_MAX_RUN: Final = 256

#: Bound in characters of a label's name and of its value: 32 of them fit into a context of 4 KiB.
_MAX_LABEL: Final = 40


#: Bound here: libraries that move the time replace the class in every module that they find.
_fromtimestamp = datetime.fromtimestamp


def begin(runner_settings: Settings, build: ci.Build, *, run: str | None = None, folder: str = "") -> dict[str, Any]:
    """Return the context as far as it is known without asking anybody.

    `run` wins over settings and CI; `folder` names the project when nothing else does.
    """
    suite = runner_settings.suite or build.suite or "default"
    context: dict[str, Any] = {
        "project": runner_settings.project or project_name(build.repository or folder),
        "run": run or runner_settings.run or run_id(build, suite) or identity.new_id(),
        "suite": suite,
        "stage": runner_settings.stage,
        "component": runner_settings.component,
        "variant": runner_settings.variant or build.variant or "default",
        "shard": None,
        "attempt": build.attempt,
        "repository": build.repository,
        "commit": build.commit,
        "base": runner_settings.base or build.base,
        "branch": build.branch,
        "pull_request": build.pull_request,
        "labels": {key[:_MAX_LABEL]: text[:_MAX_LABEL] for key, text in runner_settings.labels.items()},
        "build_url": build.build_url,
        "run_number": build.number,
        "started_at": utc_text(clock.now()),
    }
    shard = runner_settings.shard or build.shard
    if shard is not None:
        context["shard"] = {"index": shard.index, "total": shard.total}
    redact = Redactor(runner_settings.redact)
    for field in _REDACTED:
        if context[field]:
            context[field] = redact(context[field])
    # Beside a telling name a value is a secret, as it is in any text.
    for name, text in context["labels"].items():
        if redact(f"{name}={text}") != f"{name}={text}":
            context["labels"][name] = MASK
    for field, limit in _LIMITS.items():
        if context[field]:
            context[field] = context[field][:limit]
    return context


def complete(context: Mapping[str, Any], project: str | None, copy: WorkingCopy) -> dict[str, Any]:
    """Return the context with what git says, where nothing better was known; `project` is what somebody named."""
    known = dict(context)
    for field, value in (("repository", copy.repository), ("commit", copy.commit), ("branch", copy.branch)):
        if value and not known[field]:
            known[field] = value[: _LIMITS[field]]
    if project is None and context["repository"] is None and copy.repository:
        known["project"] = project_name(copy.repository)
    return known


def run_id(build: ci.Build, suite: str) -> str | None:
    """Return `<ci>:<repository>:<pipeline>:<suite>`, without the CI's attempt; None outside of a CI."""
    if build.pipeline is None:
        return None
    run = f"{build.ci}:{build.repository or ''}:{build.pipeline}:{suite}"
    if len(run) > _MAX_RUN:
        run = f"{run[: _MAX_RUN - 17]}~{hashlib.sha256(run.encode()).hexdigest()[:16]}"
    return run


def current_run(runner_settings: Settings | None = None) -> str | None:
    """Return the id of the run that this CI job (or TESTBUS_RUN_ID) is about; None where nothing says.

    Raises SettingError.
    """
    known = runner_settings or settings.read()
    build = ci.detect(settings.environment())
    return known.run or run_id(build, known.suite or build.suite or "default")


def project_name(text: str) -> str:
    """Return any text (a repository's slug, a folder's name) as a project's name."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return name[:_MAX_PROJECT].strip("-") or "default"


def utc_text(seconds: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC with microseconds."""
    return f"{_fromtimestamp(seconds, UTC).isoformat(timespec='microseconds')[: -len('+00:00')]}Z"

"""A report as JSON: everything that is known, for programs. Keys are only ever added."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from testbus.report.words import sentence

if TYPE_CHECKING:
    from datetime import datetime

    from testbus.report.model import (
        CauseReport,
        Change,
        Component,
        Coverage,
        Issue,
        Judgement,
        Producer,
        RunReport,
        TestEnd,
        Variant,
    )

#: Version of the form; a new one would take a key away, or change its meaning.
FORMAT: Final = 1


def write(report: RunReport) -> str:
    """Return the report as indented JSON text."""
    return json.dumps(as_data(report), indent=2, ensure_ascii=False) + "\n"


def as_data(report: RunReport) -> dict[str, Any]:
    """Return the report as plain JSON data; instants are ISO 8601 in UTC, lengths of time seconds."""
    identity = report.identity
    return {
        "format": FORMAT,
        "run": identity.run,
        "project": identity.project,
        "suite": identity.suite,
        "stage": identity.stage,
        "repository": identity.repository,
        "commit": identity.commit,
        "base": identity.base,
        "branch": identity.branch,
        "pull_request": identity.pull_request,
        "labels": dict(identity.labels),
        "build_url": identity.build_url,
        "run_number": identity.number,
        "status": report.life.value,
        "revision": report.revision,
        "missing": list(report.missing),
        "started_at": _instant(report.started_at),
        "started_at_claimed": _instant(report.clock_claimed),
        "finished_at": _instant(report.finished_at),
        "duration_s": report.took_s,
        "verdict": report.verdict,
        "headline": sentence(report),
        "evaluation": _judgement(report.judgement) if report.judgement else None,
        "counts": dict(report.counts),
        "total": report.total,
        "bad": report.bad,
        "pending": report.pending,
        "tests_s": round(report.tests_s, 6),
        "causes": [_cause(cause) for cause in report.causes],
        "retried": [_test(test) for test in report.retried],
        "slowest": [_test(test) for test in report.slowest],
        "coverage": _coverage(report.coverage) if report.coverage else None,
        "variants": [_variant(variant) for variant in report.variants],
        "producers": [_producer(producer) for producer in report.producers],
        "issues": [_issue(issue) for issue in report.issues],
        "launches": [{"target": launch.target, "url": launch.url} for launch in report.launches],
        "changes": [_change(change) for change in report.changes],
        "events": report.events,
        "absent_events": report.absent,
    }


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "current": judgement.current,
        "revision": judgement.revision,
        "policy": judgement.policy,
        "decided_at": _instant(judgement.decided_at),
        "reasons": list(judgement.reasons),
        "rules": [rule.model_dump(mode="json") for rule in judgement.rules],
    }


def _cause(cause: CauseReport) -> dict[str, Any]:
    return {
        "fingerprint": cause.fingerprint,
        "type": cause.type,
        "message": cause.message,
        "raised_at": cause.raised_at,
        "new": cause.new,
        "issues": [issue.key for issue in cause.issues],
        "tests": [_test(test) for test in cause.tests],
    }


def _test(test: TestEnd) -> dict[str, Any]:
    return {
        "node_id": test.node_id,
        "variant": test.variant,
        "outcome": test.outcome.value,
        "attempt": test.attempt,
        "duration_s": test.duration_s,
        "file": test.file,
        "line": test.line,
        "before": test.before,
        "failures": [failure.model_dump(mode="json") for failure in test.failures],
        "output": [output.model_dump(mode="json") for output in test.output],
    }


def _coverage(coverage: Coverage) -> dict[str, Any]:
    earlier = coverage.earlier
    return {
        "total": _component(coverage.total),
        "components": [_component(component) for component in coverage.components],
        "compared_with": {
            "run": earlier.run,
            "branch": earlier.branch,
            "commit": earlier.commit,
            "started_at": _instant(earlier.started_at),
        }
        if earlier
        else None,
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "files": component.files,
        "covered": component.covered,
        "coverable": component.coverable,
        "percent": round(component.percent, 4),
        "change": component.change,
    }


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "labels": dict(variant.labels),
        "counts": dict(variant.counts),
        "tests_s": round(variant.tests_s, 6),
        "shards": list(variant.shards),
        "shards_total": variant.shards_total,
    }


def _producer(producer: Producer) -> dict[str, Any]:
    return {
        "id": producer.id,
        "tool": producer.tool,
        "host": producer.host,
        "variant": producer.variant,
        "shard": producer.shard,
        "shards": producer.shards,
        "attempt": producer.attempt,
        "status": producer.status,
        "exit_status": producer.exit_status,
        "collected": producer.collected,
        "reported": producer.reported,
        "dropped": producer.dropped,
        "build_url": producer.build_url,
        "superseded": producer.superseded,
    }


def _issue(issue: Issue) -> dict[str, Any]:
    return {
        "fingerprint": issue.fingerprint,
        "tracker": issue.tracker,
        "key": issue.key,
        "url": issue.url,
        "title": issue.title,
        "status": issue.status,
        "action": issue.action,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "worse": change.worse,
        "kind": change.kind,
        "message": change.message,
        "fingerprint": change.fingerprint,
        "tests": list(change.tests),
        "total": change.total,
        "since": change.since,
        "baseline_run": change.baseline_run,
    }

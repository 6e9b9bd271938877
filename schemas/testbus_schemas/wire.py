"""What is on the wire, for code that cannot afford a model: names, limits and compression (standard library only).

The pytest plugin builds its events from these with plain JSON; everybody else uses `testbus_schemas.codec`. That both
write the same form is held by tests/schemas and tests/producers.
"""

from __future__ import annotations

import re
from typing import Final

#: Content type of every message (CloudEvents 1.0, structured mode, JSON).
CONTENT_TYPE: Final = "application/cloudevents+json"

#: CloudEvents version that is written; others are rejected.
SPEC_VERSION: Final = "1.0"

#: Prefix of every CloudEvents `type`; the rest is `<noun>.<verb>`.
TYPE_PREFIX: Final = "io.testbus."

#: Prefix of every CloudEvents `dataschema`; the rest is `<noun>.<verb>:<major version>`.
SCHEMA_PREFIX: Final = "urn:testbus:"

#: Major version that this code writes and understands.
MAJOR_VERSION: Final = 1

#: Bodies of more bytes than this are sent gzipped.
GZIP_ABOVE: Final = 32 * 1024

#: Bound of an inflated body in bytes; a bigger one is refused while inflating.
MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

#: Bound of the results in one `results.recorded`.
MAX_RESULTS_PER_EVENT: Final = 200

#: Bound in bytes of the results in one `results.recorded`, before gzip.
MAX_RESULTS_BYTES: Final = 256 * 1024

#: Bound in seconds between the first result of a `results.recorded` and its publication.
MAX_RESULT_AGE_S: Final = 1.0

#: Bound in bytes of one failure's text, and of one captured output.
MAX_TEXT_BYTES: Final = 32 * 1024

#: Bound in bytes of a file that goes along; of a larger one only the name does, and where it is.
MAX_CONTENT_BYTES: Final = 512 * 1024

#: Bound in characters of a test's description, and of a suite's.
MAX_DESCRIPTION: Final = 2048

#: Bound of the suites that one result describes.
MAX_SUITES: Final = 16

#: Bound of the log records of one result, those of its steps among them; and of their texts, in bytes.
MAX_LOGS: Final = 500
MAX_LOGS_BYTES: Final = 64 * 1024

#: Bound in bytes of one log record's message.
MAX_LOG_BYTES: Final = 8 * 1024

#: Bound of the steps of one result, and of how deep they are nested.
MAX_STEPS: Final = 200
MAX_STEP_DEPTH: Final = 8

#: Bound of the commits that a change names, of the first parents of each side, and of its files.
MAX_COMMITS: Final = 100
MAX_ANCESTORS: Final = 200
MAX_CHANGED_FILES: Final = 3_000

#: Bound of the functions that one changed file names, and in characters of a commit's author and subject.
MAX_FUNCTIONS: Final = 200
MAX_COMMIT_TEXT: Final = 120

#: Bound in bytes of the text of CODEOWNERS, and of a whole change, before gzip.
MAX_CODEOWNERS_BYTES: Final = 64 * 1024
MAX_CHANGE_BYTES: Final = 256 * 1024

#: Bound of the packages of one environment, and of its flags as of its labels.
MAX_PACKAGES: Final = 2_000
MAX_FLAGS: Final = 100

#: Bound of the metrics, or benchmarks, in one event; and in characters of the name and the unit of each.
MAX_METRICS: Final = 2_000
MAX_METRIC_NAME: Final = 256
MAX_METRIC_UNIT: Final = 32

#: gzip level: at the runner's end a fast one beats a small one.
_GZIP_LEVEL: Final = 1


def event_type(name: str) -> str:
    """Return the CloudEvents type of `<noun>.<verb>`."""
    return TYPE_PREFIX + name


def data_schema(name: str, major: int = MAJOR_VERSION) -> str:
    """Return the CloudEvents `dataschema` of `<noun>.<verb>` in one major version."""
    return f"{SCHEMA_PREFIX}{name}:{major}"


def routing_key(name: str, project: str) -> str:
    """Return the routing key `<noun>.<verb>.<project>` of an event type's short name."""
    return f"{name}.{project}"


def compress(body: bytes) -> tuple[bytes, str | None]:
    """Return the body as it is sent, with its content encoding: gzip above `GZIP_ABOVE`, else None.

    Equal bodies give equal bytes (no time stamp), so that a repeated publish repeats the message.
    """
    if len(body) <= GZIP_ABOVE:
        return body, None
    import gzip  # noqa: PLC0415 only where a body is sent: not in the tests' process

    return gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0), "gzip"


#: NUL in a JSON text, behind an even number of backslashes: those of an odd number escape each other, and the last `u`.
_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def without_nul(body: bytes) -> bytes:
    """Return JSON in which every NUL is U+FFFD: no database keeps one, and a test may well have one in its name."""
    return _NUL.sub(rb"\1\\ufffd", body) if b"\\u0000" in body else body

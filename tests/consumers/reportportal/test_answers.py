"""What each answer of ReportPortal means."""

from __future__ import annotations

import json

import pytest

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal import transport
from testbus_consumers.reportportal.errors import (
    AlreadyFinishedError,
    AlreadyThereError,
    NotThereError,
    RefusedError,
)


def error(code: int, message: str) -> bytes:
    """Return a business error."""
    return json.dumps({"errorCode": code, "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [
        (500, error(5000, 'Unclassified error [… constraint "test_item_uuid_key"'), AlreadyThereError),
        (406, error(40023, "Finish launch is not allowed."), AlreadyFinishedError),
        (404, error(4041, "Launch 'x' not found."), NotThereError),
        (404, error(4043, "Test Item 'x' not found."), NotThereError),
        (400, error(4001, "Incorrect Request."), RefusedError),
        (406, error(40025, "Start time of child …"), RefusedError),
        (500, error(5000, "… value too long for type character varying(1024)"), RefusedError),
        (413, b"<html>Request Entity Too Large</html>", RefusedError),
        (401, b'{"error": "invalid_token"}', TargetDownError),
        (403, error(4003, "You do not have enough permissions."), TargetDownError),
        (404, b"<html>no such page</html>", TargetDownError),
        (302, b"", TargetDownError),
        (200, b"<html>log in</html>", TargetDownError),
        (408, b"", TargetDownError),
        (429, error(4290, "Too many requests"), TargetDownError),
        (500, error(5000, "Unclassified error [no connection to the database]"), TargetDownError),
        (503, b"<html>nobody there</html>", TargetDownError),
    ],
)
def test_an_answer_means_what_is_to_be_done(status: int, body: bytes, means: type[Exception]) -> None:
    """Each kind has its error, which names the request or the server."""
    with pytest.raises(means, match=r"start item test_a|https://rp"):
        transport.read(status, body, "start item test_a", "https://rp, project p")


def test_a_good_answer_is_its_json() -> None:
    """Every 2xx with JSON."""
    assert transport.read(201, b'{"id": "x"}', "start item test_a", "https://rp") == {"id": "x"}

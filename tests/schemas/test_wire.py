"""What a test runner pays for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import testbus_schemas
from testbus_schemas import wire

HEAVY = ("pydantic", "pika", "celery", "sqlalchemy")


@pytest.mark.parametrize("module", ["testbus_schemas", "testbus_schemas.wire", "testbus_schemas.identity"])
def test_a_runner_does_not_pay_for_models(module: str) -> None:
    """Names, limits and ids come without pydantic."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "[]"


def test_every_public_name_can_be_imported() -> None:
    """Names are loaded when they are first used, and `dir()` shows them all."""
    assert dir(testbus_schemas) == testbus_schemas.__all__
    for name in testbus_schemas.__all__:
        assert getattr(testbus_schemas, name).__name__ if name[0].isupper() and name != name.upper() else True
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = testbus_schemas.nothing


def test_small_bodies_are_sent_as_they_are() -> None:
    """Compression begins above the bound, and equal bodies give equal bytes."""
    small, big = b"x" * wire.GZIP_ABOVE, b"x" * (wire.GZIP_ABOVE + 1)
    assert wire.compress(small) == (small, None)
    assert wire.compress(big) == wire.compress(big)
    assert wire.compress(big)[1] == "gzip"

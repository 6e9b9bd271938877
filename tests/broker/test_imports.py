"""What a test runner pays for: importing the parts it needs loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["testbus_broker", "testbus_broker.event_log", "testbus_broker.publisher"])
def test_importing_does_not_load_pika(module: str) -> None:
    """Neither the package nor the modules of the embedded pipeline import pika or pydantic."""
    code = f"import {module}, sys; print([name for name in ('pika', 'pydantic') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

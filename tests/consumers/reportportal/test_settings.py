"""Settings of a target: what is refused, and what the error says."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from testbus_consumers.errors import SettingsError
from testbus_consumers.reportportal.settings import ReportPortalTarget, launch_name
from testbus_consumers.settings import parse
from testbus_consumers.testing import run_context

#: What a target needs at least.
LEAST: dict[str, Any] = {"endpoint": "https://rp.example.com/api/", "project": "p", "api_key": {"env": "RP_KEY"}}


def test_the_least_settings_are_enough() -> None:
    """Endpoint, project and key; the endpoint may end in /api."""
    assert parse(ReportPortalTarget, LEAST, "eu").endpoint == "https://rp.example.com"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"endpoint": "rp.example.com"}, "eu: endpoint: .*expected an address"),
        ({"endpoint": "http://rp.example.com"}, "https:// or allow_plaintext"),
        ({"launch_name": "{projct}"}, "eu: launch_name: .*{project}"),
        ({"launch_mode": "QUIET"}, "eu: launch_mode: .*DEFAULT"),
        ({"mode": "DEBUG"}, "eu: mode: .*mirror"),
        ({"concurrency": 0}, "eu: concurrency"),
        ({"apikey": "x"}, "eu: apikey: unknown key; allowed here: .*api_key"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], said: str) -> None:
    """Key path and what is allowed there."""
    with pytest.raises(SettingsError, match=said):
        parse(ReportPortalTarget, LEAST | wrong, "eu")


def test_plain_text_can_be_allowed() -> None:
    """For servers inside a closed network."""
    assert parse(ReportPortalTarget, LEAST | {"endpoint": "http://rp", "allow_plaintext": True}, "eu").endpoint


def test_a_launch_is_named_by_its_template() -> None:
    """Empty fields leave no double blanks."""
    assert launch_name("{project} {stage} {suite}", run_context(suite="unit")) == "web unit"


def test_the_vendors_library_starts_nothing_when_it_is_imported() -> None:
    """No thread, no connection: only its request models are used."""
    code = (
        "import socket, threading\n"
        "def refuse(*_): raise AssertionError('connected')\n"
        "socket.socket.connect = refuse\n"
        "import testbus_consumers.reportportal\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

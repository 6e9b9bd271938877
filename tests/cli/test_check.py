"""`testbus check` tries what is configured, and says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


def test_each_target_is_asked_with_its_credentials(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Right ones are told apart from wrong ones, by target and by what is wrong; each says what to do."""
    with Sandbox() as sandbox:
        portal, slack = sandbox.reportportal("a"), sandbox.slack
        right = {"endpoint": portal.url, "project": portal.project, "api_key": {"env": "RIGHT"}}
        configured = {
            "consumers": {
                "reportportal": {
                    "targets": {
                        "right": right,
                        "key": right | {"api_key": {"env": "WRONG"}},
                        "project": right | {"project": "other"},
                        "unset": right | {"api_key": {"env": "UNSET"}},
                        "away": right | {"endpoint": "http://127.0.0.1:1"},
                    }
                },
                "slack": {"token": {"env": "TOKEN"}, "channel": slack.channel("ci").id, "base_url": slack.url},
            }
        }
        (tmp_path / "testbus.yaml").write_text(yaml.safe_dump(configured), encoding="utf-8")
        secrets = {"RIGHT": portal.api_key, "WRONG": "not-the-key", "TOKEN": slack.token}
        done = testbus("check", "--embedded", "--json", **secrets)
        shown = testbus("check", "--embedded", **secrets)
    found = json.loads(done.stdout)
    assert done.returncode == shown.returncode == 1
    wrong = {(one["subject"], one["what"]): one["detail"] for one in found if not one["ok"]}
    assert set(wrong) == {
        ("reportportal/key", "credentials"),
        ("reportportal/project", "project"),
        ("reportportal/unset", "credentials"),
        ("reportportal/away", "reachability"),
    }
    assert "401" in wrong["reportportal/key", "credentials"]
    assert "project other" in wrong["reportportal/project", "project"]
    assert "UNSET" in wrong["reportportal/unset", "credentials"]
    assert "nobody listens at 127.0.0.1:1" in wrong["reportportal/away", "reachability"]
    steps = ["reachability", "version", "clock", "credentials", "project", "rights"]
    assert [one["what"] for one in found if one["subject"] == "reportportal/right"] == steps
    assert [one["level"] for one in found if one["subject"] == "slack"] == ["ok"]
    assert "✓ reportportal/right rights: sandbox may report (MEMBER)" in shown.stdout
    assert "✗ reportportal/key credentials: " in shown.stdout
    assert not any(secret in done.stdout + shown.stdout for secret in secrets.values())


def test_a_warning_is_shown_and_fails_nothing(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A role that this does not know: it may well do."""
    with Sandbox(slack=False) as sandbox:
        portal = sandbox.reportportal("a")
        target = {"endpoint": portal.url, "project": portal.project, "api_key": {"env": "KEY"}}
        text = yaml.safe_dump({"consumers": {"reportportal": {"targets": {"eu": target}}}})
        (tmp_path / "testbus.yaml").write_text(text, encoding="utf-8")
        portal.faults.status(404, path="/api/users$")
        done = testbus("check", "--embedded", KEY=portal.api_key)
    assert done.returncode == 0, done.stdout
    assert "! reportportal/eu rights: the server does not tell the key's user and role" in done.stdout

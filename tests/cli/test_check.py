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
    """Right ones are told apart from wrong ones, by target."""
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
                    }
                },
                "slack": {"token": {"env": "TOKEN"}, "channel": slack.channel("ci").id, "base_url": slack.url},
            }
        }
        (tmp_path / "testbus.yaml").write_text(yaml.safe_dump(configured), encoding="utf-8")
        done = testbus("check", "--embedded", "--json", RIGHT=portal.api_key, WRONG="no", TOKEN=slack.token)
    found = {one["subject"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert {name for name, one in found.items() if one["ok"]} == {"reportportal/right", "slack"}
    assert "401" in found["reportportal/key"]["detail"]
    assert "other" in found["reportportal/project"]["detail"]
    assert "UNSET" in found["reportportal/unset"]["detail"]

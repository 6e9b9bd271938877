"""Where the demo plays: a folder, the sandbox, a configuration, and a copy of the bundled project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from testbus_sandbox import Sandbox
from testbus_schemas import RunContext
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The two ReportPortals that every run is reported to, and the one that comes later.
TARGETS: Final = ("a", "b")
LATECOMER: Final = "c"

#: Slack's channel.
CHANNEL: Final = "ci"

#: What the gates ask for.
RULES: Final = ({"rule": "pass_rate", "minimum": 100}, {"rule": "coverage", "minimum": 85})

#: Project of the runs.
PROJECT: Final = "shop"

#: What the CI calls the first of the two runs.
FIRST_NUMBER: Final = 101

#: The two commits, as the CI would name them.
COMMITS: Final = ("1f0c" * 10, "b4d0" * 10)


class Stage:
    """Everything that the demo needs, in a folder of its own; gone when it ends."""

    def __init__(self) -> None:
        """Build the folder."""
        self._folder = tempfile.TemporaryDirectory(prefix="testbus-demo-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        #: The bundled project, as the demo's tests find it.
        self.project = self.folder / "shop"
        self._output = self.folder / "pytest.log"
        #: ReportPortals and Slack.
        self.sandbox = Sandbox(reportportals=(*TARGETS, LATECOMER), channels=(CHANNEL,), jira=True)
        with as_file(files("testbus.demo")) as bundled:
            shutil.copytree(bundled / "project", self.project, ignore=shutil.ignore_patterns("__pycache__"))
            self._broken = {file.name: file.read_bytes() for file in (bundled / "broken").glob("*.py")}
        self._commit = COMMITS[0]

    def __enter__(self) -> Self:
        """Start the sandbox, and write the configuration for it."""
        self.sandbox.__enter__()
        #: The configuration file.
        self.config = self.folder / "testbus.yaml"
        self.configure(TARGETS)
        return self

    def configure(self, targets: Sequence[str]) -> None:
        """Write the configuration with these ReportPortals."""
        text = yaml.safe_dump(self._configuration(targets), sort_keys=False)
        self.config.write_text(text, encoding="utf-8")

    def __exit__(self, *exception: object) -> None:
        """Stop the sandbox and remove the folder."""
        self.sandbox.__exit__(None, None, None)
        self._folder.cleanup()

    def break_it(self) -> None:
        """Make the commit that breaks the project."""
        for name, content in self._broken.items():
            (self.project / "shop" / name).write_bytes(content)
        self._commit = COMMITS[1]

    def new_run(self) -> RunContext:
        """Return the context of a run that is about to begin."""
        return RunContext.model_validate(
            {"project": PROJECT, "suite": "unit", "run": new_id(), "started_at": "1970-01-01T00:00:00Z"}
        )

    def pytest(self, run: RunContext, url: str) -> subprocess.Popen[bytes]:
        """Start the project's own pytest, publishing to `url`; `output` gives what it printed."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TESTBUS_"))
        }
        environment |= {
            "TESTBUS_URL": url,
            "TESTBUS_RUN_ID": run.run,
            "TESTBUS_PROJECT": run.project,
            "TESTBUS_SUITE": run.suite,
            "TESTBUS_SPOOL": str(self.folder / "spool"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_REF_NAME": "main",
            "GITHUB_RUN_NUMBER": str(FIRST_NUMBER + COMMITS.index(self._commit)),
            "GITHUB_SHA": self._commit,
        }
        command = [sys.executable, "-m", "pytest", "--testbus", "--cov=shop", "--cov-branch", "-p", "no:cacheprovider"]
        with self._output.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 the bundled project's tests
                command, cwd=self.project, env=environment, stdout=output, stderr=output
            )

    def output(self) -> str:
        """Return what the latest pytest printed."""
        return self._output.read_text(encoding="utf-8", errors="replace").strip() or "nothing printed"

    def _configuration(self, targets: Sequence[str]) -> dict[str, Any]:
        slack, jira = self.sandbox.slack, self.sandbox.jira
        return {
            "broker": {"delay_steps": [1, 2, 5]},
            "consumers": {
                "gates": {"rules": list(RULES)},
                "regressions": {},
                "reportportal": {"targets": {name: self._reportportal(name) for name in targets}},
                "jira": {
                    "url": jira.url,
                    "user": jira.user,
                    "token": self._secret("jira", jira.token),
                    "project": jira.project,
                },
                "slack": {
                    "token": self._secret("slack", slack.token),
                    "channel": slack.channel(CHANNEL).id,
                    "base_url": slack.url,
                    # The sandbox takes any number; Slack itself wants a second between two.
                    "seconds_per_message": 0,
                },
            },
        }

    def _reportportal(self, name: str) -> dict[str, Any]:
        portal = self.sandbox.reportportal(name)
        return {
            "endpoint": portal.url,
            "project": portal.project,
            "api_key": self._secret(f"reportportal-{name}", portal.api_key),
        }

    def _secret(self, name: str, value: str) -> Mapping[str, str]:
        file = self.folder / f"{name}.secret"
        file.touch(mode=0o600)
        file.write_text(value, encoding="utf-8")
        return {"file": str(file)}

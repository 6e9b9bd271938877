"""A real browser for tests of pages: headless Chromium from PATH, in a folder of its own, with no way out."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: Names under which Chromium is installed.
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

#: Seconds that a page may take, on a busy machine.
PATIENCE_S: Final = 120.0


def rendered(page: Path, folder: Path, *arguments: str) -> str:
    """Return the document of a page after the browser has read it; the test is skipped where there is no browser.

    Every name is unknown to the browser, so that it cannot reach anything. `folder` is for its profile.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        # Not a service that CI has to offer: skipped there too.
        pytest.skip(f"browser missing: none of {', '.join(NAMES)} is in PATH: apt-get install chromium")
    command = [found, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--no-first-run", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={folder / 'profile'}", *arguments, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout

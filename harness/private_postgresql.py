"""A PostgreSQL of our own for tests that break it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import make_url

from harness.processes import START_S, STOP_S, ServiceMissingError, executable, free_port, unique
from harness.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping


class PrivatePostgreSQL:
    """A PostgreSQL of our own, on a free port, that tests may kill; its data stays until it is stopped.

    Started by root it runs as the user postgres, because it refuses root.
    """

    def __init__(self, folder: Path) -> None:
        """Make an empty cluster, in the folder where that is possible; raises ServiceMissingError without a server."""
        initdb, self._server = executable("initdb", "PostgreSQL"), executable("postgres", "PostgreSQL")
        self._account = _account()
        # Below the system's folder for such things: those of pytest are closed to other users.
        self._data = Path(f"/tmp/{unique('testbus-postgresql-')}") if self._account else folder / "data"
        self._log = folder / "postgresql.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._data.mkdir(mode=0o700)
        if self._account:
            shutil.chown(self._data, self._account["user"], self._account["group"])
        subprocess.run(
            [initdb, "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync"],
            check=True, capture_output=True, cwd="/", **self._account,
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Return the SQLAlchemy URL of its database `postgres`; stays the same through restarts."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    @property
    def port(self) -> int:
        """Return where it listens."""
        return self._port

    def start(self) -> None:
        """Start it, with the data that it had, and wait until it answers.

        What was committed outlives a kill of all its processes without fsync too: only a machine that fails loses that.
        """
        command = [self._server, "-D", str(self._data), "-p", str(self._port), "-k", ""]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=300"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd="/", stdout=log, stderr=log, start_new_session=True, **self._account
            )
        wait_until(lambda: answers_sql(self.url), START_S, f"the private PostgreSQL answers; see {self._log}")

    def kill(self) -> None:
        """End all of its processes at once, as a power failure would."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Shut it down, and remove its data."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._data, ignore_errors=True)


def answers_sql(url: str) -> bool:
    """Tell whether a PostgreSQL answers there, and lets the user in."""
    with suppress(psycopg.Error), psycopg.connect(libpq(url), connect_timeout=3):
        return True
    return False


def libpq(url: str) -> str:
    """Return an SQLAlchemy URL as libpq understands it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _account() -> Mapping[str, Any]:
    """Return what makes a process run as the user postgres, nothing where that is not needed."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise ServiceMissingError("PostgreSQL does not run as root: run the tests as another user") from None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

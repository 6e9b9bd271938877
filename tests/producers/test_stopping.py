"""A session that is asked to end: its goodbye is said, and it ends as it would have without us."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_schemas import ProducerFinished, ProducerHeartbeat, ProducerStarted

if TYPE_CHECKING:
    from tests.producers.conftest import Project

#: A test that notes its beginning, and then waits for longer than anybody would.
WAITING = """
    import pathlib, time
    def test_before(): pass
    def test_waiting():
        pathlib.Path("begun").touch()
        time.sleep(600)
"""

#: Seconds within which something happens that nothing holds up.
SOON_S = 60


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_session_says_that_it_was_interrupted(project: Project, asked: signal.Signals) -> None:
    """As a CI cancels a job: what was recorded is there, with a farewell, and the exit status is what it ever was."""
    project.write(test_stopped=WAITING)
    session = project.start("--testbus")
    wait_until((project.root / "begun").exists, SOON_S, "the long test has begun")
    session.send_signal(asked)
    session.communicate(timeout=SOON_S)
    assert session.returncode == (-signal.SIGTERM if asked == signal.SIGTERM else pytest.ExitCode.INTERRUPTED)
    wait_until(lambda: not project.spools(), SOON_S, "all is sent")
    (finished,) = project.data(ProducerFinished)
    assert finished.status == "interrupted"
    assert finished.exit_status == (128 + signal.SIGTERM if asked == signal.SIGTERM else pytest.ExitCode.INTERRUPTED)
    assert project.outcomes()["test_stopped.py::test_before"] == "passed"


def test_a_killed_session_has_crashed(project: Project) -> None:
    """Its relay says so within seconds; a child that somebody ended before is no reason to say anything else."""
    project.write(
        test_stopped="""
        import os, signal, time
        def test_child():
            child = os.fork()
            if not child:
                time.sleep(600)
            os.kill(child, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        def test_killed():
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert project.run("--testbus").status == -signal.SIGKILL
    wait_until(lambda: not project.spools(), SOON_S, "all is sent")
    (finished,) = project.data(ProducerFinished)
    assert (finished.status, finished.exit_status, finished.reported) == ("crashed", None, 1)


def test_a_handler_of_the_tests_own_is_left_alone(project: Project) -> None:
    """Who handles SIGTERM already goes on to do so: here it fails the test, and the session ends like any other."""
    project.write(
        conftest="""
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        """,
        test_stopped=WAITING,
    )
    session = project.start("--testbus")
    wait_until((project.root / "begun").exists, SOON_S, "the long test has begun")
    session.terminate()
    session.communicate(timeout=SOON_S)
    assert session.returncode == pytest.ExitCode.TESTS_FAILED
    (finished,) = project.data(ProducerFinished)
    assert finished.status == "finished"


def test_sigterm_is_nobodys_again_after_the_session(project: Project) -> None:
    """What runs in the same process afterwards finds the signal as it was."""
    (project.root / "twice.py").write_text(
        "import pytest, signal\n"
        "assert pytest.main(['--testbus', 'test_quick.py']) == 0\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    )
    project.write(test_quick="def test_quick(): pass")
    command = [sys.executable, "twice.py"]
    ran = subprocess.run(command, cwd=project.root, env=project.environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_session_gives_signs_of_life(project: Project) -> None:
    """And says beforehand how often."""
    project.write(test_slow="import time\ndef test_slow(): time.sleep(3)\n")
    assert project.run("--testbus", TESTBUS_HEARTBEAT="1").status == 0
    (started,) = project.data(ProducerStarted)
    assert started.heartbeat_s == 1
    assert project.data(ProducerHeartbeat)

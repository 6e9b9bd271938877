"""What is said when something is wrong: where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import processes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


def test_a_missing_secret_is_named(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The variable is named, and what it is for."""
    done = testbus("broker", "declare")
    assert done.returncode == 2
    assert "TESTBUS_URL" in done.stderr


def test_an_unreachable_broker_is_named_without_its_password(
    testbus: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Host and port, and no password."""
    url = f"amqp://guest:hunter2@127.0.0.1:{processes.free_port()}/"
    for command in (["broker", "declare"], ["status"], ["verdict", "r1", "--timeout", "1"], ["check"]):
        done = testbus(*command, TESTBUS_URL=url)
        assert done.returncode in {1, 2, 4}, done.stdout
        assert "127.0.0.1" in done.stderr + done.stdout
        assert "hunter2" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_the_written_configuration_is_valid(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """`config init` writes what `config validate` accepts, and never over a file that is there."""
    assert testbus("config", "init").returncode == 0
    assert testbus("config", "validate").returncode == 0
    again = testbus("config", "init")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    shown = testbus("config", "show")
    assert "pass_rate" in shown.stdout
    assert (tmp_path / "testbus.yaml").read_text(encoding="utf-8").startswith("#")


def test_without_url_and_home_the_next_step_is_told(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A newcomer who asks for a verdict before any run learns how to get one."""
    done = testbus("verdict", "r1")
    assert done.returncode == 2
    assert "testbus run -- pytest" in done.stderr

"""What the command line says when something is wrong, and how it exits."""

from __future__ import annotations

from enum import IntEnum

import click


class Exit(IntEnum):
    """Exit codes of `testbus`."""

    #: All well; of `verdict`: passed.
    OK = 0
    #: Of `verdict`: failed.
    FAILED = 1
    #: The command was not usable as given, or what it needs is not there.
    USAGE = 2
    #: Of `verdict`: something of the run is missing.
    INCOMPLETE = 3
    #: Of `verdict`: none in time.
    TIMED_OUT = 4


class CliError(click.ClickException):
    """The command cannot be carried out; the message says what happened, where, and what to do."""

    exit_code = Exit.USAGE


class TemporaryError(CliError):
    """What is asked is unreachable now, and may be reachable again at any moment."""


class ExtraMissingError(CliError):
    """A part of testbus is not installed here."""

    def __init__(self, module: str) -> None:
        """Name the module that is missing and the extra that brings it."""
        super().__init__(f"this command needs {module}, which is not installed: pip install 'testbus[all]'")

"""ReportPortal and Slack on loopback, with their rules."""

from testbus_sandbox.errors import (
    CannotListenError,
    InvalidFaultError,
    NotRunningError,
    ReportPortalError,
    SandboxError,
    SlackError,
    SlackRateLimitError,
    UnknownServerError,
)
from testbus_sandbox.faults import Fault, Faults
from testbus_sandbox.sandbox import ReportPortalServer, Sandbox, SlackServer, serve
from testbus_sandbox.traffic import Traffic

__all__ = [
    "CannotListenError",
    "Fault",
    "Faults",
    "InvalidFaultError",
    "NotRunningError",
    "ReportPortalError",
    "ReportPortalServer",
    "Sandbox",
    "SandboxError",
    "SlackError",
    "SlackRateLimitError",
    "SlackServer",
    "Traffic",
    "UnknownServerError",
    "serve",
]

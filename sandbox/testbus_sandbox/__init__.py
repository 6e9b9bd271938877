"""ReportPortal, Slack and Jira on loopback, with their rules."""

from testbus_sandbox.errors import (
    CannotListenError,
    InvalidFaultError,
    JiraError,
    NotRunningError,
    ReportPortalError,
    SandboxError,
    SlackError,
    SlackRateLimitError,
    UnknownServerError,
)
from testbus_sandbox.faults import Fault, Faults
from testbus_sandbox.jira.server import JiraServer
from testbus_sandbox.sandbox import ReportPortalServer, Sandbox, SlackServer, serve
from testbus_sandbox.server import Traffic

__all__ = [
    "CannotListenError",
    "Fault",
    "Faults",
    "InvalidFaultError",
    "JiraError",
    "JiraServer",
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

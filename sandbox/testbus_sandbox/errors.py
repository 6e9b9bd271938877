"""What can go wrong with the sandbox itself, and what a vendor's rules refuse."""

from __future__ import annotations

import inspect

from testbus_schemas.errors import TestbusError


class SandboxError(TestbusError):
    """The sandbox could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        """Take a message; without one, the docstring of the class is the message."""
        super().__init__(message or inspect.cleandoc(self.__doc__ or ""))


class NotRunningError(SandboxError):
    """The sandbox is not running: enter it with `with Sandbox() as sandbox:` before you ask for its servers."""


class CannotListenError(SandboxError):
    """The port is taken or not allowed: pass port=0 to let the system choose, or stop what uses it."""


class UnknownServerError(SandboxError):
    """The sandbox has no server of that name: name it in `Sandbox(reportportals=(…), slack=True)`."""


class InvalidFaultError(SandboxError):
    """The fault is not understood: give an action of `faults.ACTIONS` and only fields of `faults.Fault`."""


class ReportPortalError(SandboxError):
    """ReportPortal's rules refuse the request: the answer is its HTTP status, error code and message."""

    def __init__(self, message: str, *, status: int, code: int, missing: str | None = None) -> None:
        """Keep the answer; `missing` is the uuid of the launch or item that was not found, if that is why."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.missing = missing


class SlackError(SandboxError):
    """Slack's rules refuse the request: the answer is `{"ok": false, "error": …}`."""

    def __init__(self, error: str, *messages: str) -> None:
        """Keep Slack's error name and the explanations for `response_metadata.messages`."""
        super().__init__(error)
        self.error = error
        self.messages = messages


class SlackRateLimitError(SlackError):
    """Too many messages in one channel: the answer is HTTP 429 with Retry-After."""

    def __init__(self, retry_after_s: int) -> None:
        """Keep the whole seconds after which a message is accepted again."""
        super().__init__("ratelimited")
        self.retry_after_s = retry_after_s


class JiraError(SandboxError):
    """Jira's rules refuse the request: the answer is its status with `errorMessages` and `errors`."""

    def __init__(self, status: int, *messages: str, **fields: str) -> None:
        """Keep the HTTP status, the messages, and what is wrong with which field."""
        super().__init__("; ".join((*messages, *(f"{name}: {text}" for name, text in fields.items()))))
        self.status = status
        self.messages = messages
        self.fields = fields

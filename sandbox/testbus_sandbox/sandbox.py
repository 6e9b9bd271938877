"""The composition root: servers in one thread, and what their users need to know of them."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Final

from testbus_sandbox.errors import NotRunningError, UnknownServerError
from testbus_sandbox.jira.server import JiraServer, known_flavour
from testbus_sandbox.reportportal import http
from testbus_sandbox.reportportal import http as reportportal_http
from testbus_sandbox.reportportal import page as reportportal_page
from testbus_sandbox.reportportal.portal import Portal
from testbus_sandbox.reportportal.routes_read import Reading
from testbus_sandbox.reportportal.routes_v1 import Queueing, Reporting
from testbus_sandbox.server import HOST, LoopThread, Server
from testbus_sandbox.slack import page as slack_page
from testbus_sandbox.slack import routes as slack_routes
from testbus_sandbox.slack.routes import Webhooks
from testbus_sandbox.slack.workspace import Channel, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from testbus_sandbox.faults import Faults
    from testbus_sandbox.reportportal.models import Hidden, Launch, Totals
    from testbus_sandbox.server import Traffic
    from testbus_sandbox.slack.workspace import Message, Update

#: Project of every ReportPortal, unless another is asked for.
PROJECT: Final = "demo"

#: Channels of the Slack workspace, unless others are asked for.
CHANNELS: Final = ("ci", "alerts")

#: Projects of Jira, unless others are asked for.
JIRA_PROJECTS: Final = ("DEMO",)


class ReportPortalServer:
    """A running ReportPortal: where it is, and what it has."""

    def __init__(self, server: Server, name: str, project: str) -> None:
        """Put ReportPortal on a server; its key is its own, so that a client of another one is refused."""
        #: Name in the sandbox.
        self.name = name
        #: Name of its only project.
        self.project = project
        #: Key for `Authorization: Bearer`.
        self.api_key = f"sandbox_{name}"
        #: The user whose key it is; tests change the role.
        self.member = http.Member()
        self._portal = Portal()
        self._server = server
        self._server.app.middlewares.append(reportportal_http.guard(project, self.api_key, self.member))
        self._server.app.add_routes(http.routes(self.member, project, self.api_key))
        for part in (Reporting(self._portal, project), Queueing(self._portal, project), Reading(self._portal)):
            self._server.app.add_routes(part.routes())
        self._server.app.add_routes(reportportal_page.routes(self._portal, name, project))

    @property
    def url(self) -> str:
        """The endpoint that clients are given, for example `http://127.0.0.1:40001`."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def page(self) -> str:
        """Address of the page that shows its launches."""
        return f"{self.url}/ui/"

    @property
    def launches(self) -> tuple[Launch, ...]:
        """Every launch with its items and logs, as it is now; unchanged, it is the same object as before."""
        return self._portal.launches()

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """The business errors that v2 did not report to its clients."""
        return self._portal.hidden()

    @property
    def totals(self) -> Totals:
        """How much there is: cheap, for polling."""
        return self._portal.totals()

    @property
    def faults(self) -> Faults:
        """What it does wrong."""
        return self._server.faults

    @property
    def requests(self) -> Traffic:
        """How many requests it received, by method and route."""
        return self._server.traffic


class SlackServer:
    """A running Slack: where it is, and what it has."""

    def __init__(self, server: Server, channels: Sequence[str], seconds_per_message: float | None) -> None:
        """Put Slack on a server, with the bot in these channels."""
        #: Token for slack_sdk.
        self.token = "xoxb-sandbox"  # noqa: S105 - opens nothing but this server
        named = [Channel(f"C0SANDBOX{index:02d}", name) for index, name in enumerate(channels, 1)]
        self._workspace = Workspace({channel.id: channel for channel in named}, seconds_per_message)
        self._server = server
        self._webhooks = Webhooks(self._workspace, "sandbox-")
        self._server.app.add_routes(slack_routes.WebApi(self._workspace, self.token).routes())
        self._server.app.add_routes(self._webhooks.routes())
        self._server.app.add_routes(slack_page.routes(self._workspace))

    @property
    def url(self) -> str:
        """The base URL for slack_sdk's WebClient, for example `http://127.0.0.1:40002/api/`."""
        return f"{self._root}/api/"

    @property
    def page(self) -> str:
        """Address of the page that shows the channels."""
        return f"{self._root}/ui/"

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels, with ids and names."""
        return tuple(self._workspace.channels.values())

    def channel(self, name: str) -> Channel:
        """Return the channel of that name; raise UnknownServerError when there is none."""
        for channel in self.channels:
            if channel.name == name:
                return channel
        raise UnknownServerError(f"the sandbox's Slack has no channel {name!r}: name it in Sandbox(channels=…)")

    def webhook(self, name: str) -> str:
        """Return the incoming webhook's URL of the channel of that name."""
        return f"{self._root}{self._webhooks.path(self.channel(name))}"

    def delete(self, message: Message) -> None:
        """Take a message away with all of its replies, as people do."""
        self._workspace.delete(message)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message as it is now, replies included, the oldest first."""
        return self._workspace.messages

    @property
    def updates(self) -> tuple[Update, ...]:
        """Every chat.update, the oldest first."""
        return self._workspace.updates

    @property
    def faults(self) -> Faults:
        """What it does wrong."""
        return self._server.faults

    @property
    def requests(self) -> Traffic:
        """How many requests it received, by method and route."""
        return self._server.traffic

    def limit(self, seconds_per_message: float | None) -> None:
        """Accept one message per channel in so many seconds (Slack's own rule is about 1); None takes the limit off."""
        self._workspace.seconds_per_message = seconds_per_message

    @property
    def _root(self) -> str:
        """Return the server's address without a path."""
        return f"http://{HOST}:{self._server.port}"


class Sandbox:
    """Servers on loopback that behave as ReportPortal, Slack and Jira do; a context manager."""

    def __init__(
        self,
        *,
        reportportals: Sequence[str] = ("a",),
        slack: bool = True,
        jira: bool = False,
        jira_flavour: str = "cloud",
        jira_projects: Sequence[str] = JIRA_PROJECTS,
        port: int = 0,
        project: str = PROJECT,
        channels: Sequence[str] = CHANNELS,
        seconds_per_message: float | None = None,
    ) -> None:
        """Describe the sandbox.

        `reportportals` are the servers' names, `project` is the one project of each, `channels` are Slack's;
        `port` 0 lets the system choose ports, another is the first server's, and the next ones follow;
        `seconds_per_message` switches Slack's rate limit per channel on; `jira_flavour` is cloud or datacenter.
        """
        self._names = tuple(reportportals)
        self._with_slack = slack
        self._with_jira = (known_flavour(jira_flavour), tuple(jira_projects)) if jira else None
        self._port = port
        self._project = project
        self._channels = tuple(channels)
        self._seconds_per_message = seconds_per_message
        self._loop: LoopThread | None = None
        self._servers: list[Server] = []
        self._reportportals: dict[str, ReportPortalServer] = {}
        self._slack: SlackServer | None = None
        self._jira: JiraServer | None = None

    def __enter__(self) -> Self:
        """Start the servers; raise CannotListenError when a port is taken."""
        self._loop = loop = LoopThread()
        self._servers = []
        self._reportportals = {}
        for name in self._names:
            server = Server(loop, error_body=reportportal_http.fault_body, max_bytes=reportportal_http.MAX_BYTES)
            self._servers.append(server)
            self._reportportals[name] = ReportPortalServer(server, name, self._project)
        if self._with_slack:
            server = Server(loop, error_body=slack_routes.fault_body, max_bytes=slack_routes.MAX_BYTES)
            self._servers.append(server)
            self._slack = SlackServer(server, self._channels, self._seconds_per_message)
        if self._with_jira:
            flavour, projects = self._with_jira
            self._jira = JiraServer(loop, projects, flavour)
            self._servers.append(self._jira.server)
        try:
            for index, server in enumerate(self._servers):
                server.start(self._port + index if self._port else 0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the servers; what they hold can still be read."""
        if self._loop is not None:
            for server in self._servers:
                server.stop()
            self._loop.stop()
            self._loop = None

    def reportportal(self, name: str) -> ReportPortalServer:
        """Return the ReportPortal of that name; raise UnknownServerError or NotRunningError."""
        if not self._servers:
            raise NotRunningError
        if name not in self._reportportals:
            raise UnknownServerError(f"the sandbox has no ReportPortal {name!r}, only {', '.join(self._names)}")
        return self._reportportals[name]

    @property
    def reportportals(self) -> tuple[ReportPortalServer, ...]:
        """Every ReportPortal, in the order they were named."""
        return tuple(self._reportportals.values())

    @property
    def slack(self) -> SlackServer:
        """The Slack server; raise UnknownServerError or NotRunningError without one."""
        if not self._servers:
            raise NotRunningError
        if self._slack is None:
            raise UnknownServerError("the sandbox has no Slack: start it with Sandbox(slack=True)")
        return self._slack

    @property
    def jira(self) -> JiraServer:
        """The Jira server; raise UnknownServerError or NotRunningError without one."""
        if not self._servers:
            raise NotRunningError
        if self._jira is None:
            raise UnknownServerError("the sandbox has no Jira: start it with Sandbox(jira=True)")
        return self._jira


def serve(sandbox: Sandbox, *, on_ready: Callable[[Sandbox], None] | None = None, stop: Event | None = None) -> None:
    """Run a sandbox until `stop` is set or Ctrl-C; call `on_ready` once it listens. Prints nothing."""
    until = stop or Event()
    with sandbox:
        if on_ready is not None:
            on_ready(sandbox)
        try:
            until.wait()
        except KeyboardInterrupt:
            return

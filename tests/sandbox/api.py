"""A plain HTTP client of a sandbox's ReportPortal, that shows every status and hides nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import Item, Launch

#: An instant, and how many milliseconds after it something happens.
START_MS = 1_795_000_000_000

#: Seconds after which a request of a test is given up.
TIMEOUT_S = 10


class Api:
    """Sends requests with the server's key; `at` are milliseconds after START_MS."""

    def __init__(self, portal: ReportPortalServer) -> None:
        """Take the server."""
        self.portal = portal
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {portal.api_key}"

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        self.session.close()

    def url(self, path: str, version: str = "v1") -> str:
        """Return the address of a path of the project."""
        return f"{self.portal.url}/api/{version}/{self.portal.project}/{path}"

    def get(self, path: str, **query: str) -> requests.Response:
        """GET."""
        return self.session.get(self.url(path), params=query, timeout=TIMEOUT_S)

    def post(self, path: str, body: Any, version: str = "v1") -> requests.Response:
        """POST JSON."""
        return self.session.post(self.url(path, version), json=body, timeout=TIMEOUT_S)

    def put(self, path: str, body: Any, version: str = "v1") -> requests.Response:
        """PUT JSON."""
        return self.session.put(self.url(path, version), json=body, timeout=TIMEOUT_S)

    def delete_launch(self, uuid: str) -> requests.Response:
        """DELETE a launch, as a person does on its page."""
        number = self.get(f"launch/uuid/{uuid}").json()["id"]
        return self.session.delete(self.url(f"launch/{number}"), timeout=TIMEOUT_S)

    def start_launch(self, *, at: int = 0, version: str = "v1", **fields: Any) -> requests.Response:
        """Start a launch."""
        return self.post("launch", {"name": "nightly", "startTime": START_MS + at, **fields}, version)

    def launch(self, **fields: Any) -> str:
        """Start a launch and return its uuid."""
        return str(self.start_launch(**fields).json()["id"])

    def finish_launch(self, uuid: str, *, at: int = 1000, version: str = "v1", **fields: Any) -> requests.Response:
        """Finish a launch."""
        return self.put(f"launch/{uuid}/finish", {"endTime": START_MS + at, **fields}, version)

    def start_item(
        self, launch: str, parent: str | None = None, *, at: int = 0, version: str = "v1", **fields: Any
    ) -> requests.Response:
        """Start an item."""
        body = {"name": "test_a", "type": "step", "startTime": START_MS + at, "launchUuid": launch, **fields}
        return self.post(f"item/{parent}" if parent else "item", body, version)

    def item(self, launch: str, parent: str | None = None, **fields: Any) -> str:
        """Start an item and return its uuid."""
        return str(self.start_item(launch, parent, **fields).json()["id"])

    def finish_item(
        self, launch: str, uuid: str, status: str | None = "passed", *, at: int = 10, version: str = "v1", **fields: Any
    ) -> requests.Response:
        """Finish an item."""
        body = {"endTime": START_MS + at, "launchUuid": launch, "status": status, **fields}
        return self.put(f"item/{uuid}", body, version)

    def logs(
        self, *entries: dict[str, Any], files: tuple[tuple[str, bytes, str], ...] = (), version: str = "v1"
    ) -> requests.Response:
        """Send a log batch; files are (name, content, media type)."""
        parts: list[Any] = [("json_request_part", (None, json.dumps(entries), "application/json"))]
        parts += [("file", file) for file in files]
        return self.session.post(self.url("log", version), files=parts, timeout=TIMEOUT_S)

    def shown(self) -> Launch:
        """Return the only launch of the server."""
        (launch,) = self.portal.launches
        return launch

    def shown_item(self, uuid: str) -> Item:
        """Return one item of the only launch."""
        return next(item for item in self.shown().items if item.uuid == uuid)


def refused(response: requests.Response) -> tuple[int, int, str]:
    """Return HTTP status, error code and message of a business error."""
    body = response.json()
    assert set(body) == {"errorCode", "message"}
    return response.status_code, body["errorCode"], body["message"]

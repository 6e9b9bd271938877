"""A proxy before a target: passes requests on, or answers some of them itself."""

from __future__ import annotations

import http.client
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: What a proxy says when nobody is logged in, or it does not like what it sees.
PAGE = b"<!DOCTYPE html><html><title>Web Gateway</title><body>Please sign in</body></html>"

#: Headers that belong to one connection, not to what goes over it.
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(frozen=True)
class Answer:
    """What the proxy itself answers."""

    status: int
    body: bytes = PAGE
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/html"})


@dataclass(frozen=True)
class Request:
    """What came, as far as rules look at it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class HttpFront:
    """The proxy; rules may be changed at any time."""

    #: Where it stands: the target's URL with this instead of host and port.
    url: str
    #: Request → own answer, or None to pass it on.
    rule: Callable[[Request], Answer | None] = lambda _: None
    #: Everything that came.
    seen: list[Request] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    """Passes one connection's requests on."""

    protocol_version = "HTTP/1.1"
    front: ClassVar[HttpFront]
    upstream: ClassVar[str]

    def handle_request(self) -> None:
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self._body())
        self.front.seen.append(request)
        answer = self.front.rule(request) or self._passed_on(request)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _passed_on(self, request: Request) -> Answer:
        with closing(http.client.HTTPConnection(self.upstream, timeout=30)) as connection:
            headers = {name: value for name, value in request.headers.items() if name not in _HOP | {"host"}}
            connection.request(request.method, request.path, request.body, headers | {"host": self.upstream})
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


for _method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler.handle_request)


@contextmanager
def http_front(target: str) -> Iterator[HttpFront]:
    """Give a proxy before the target of this URL."""
    parts = urlsplit(target)
    front = HttpFront(url="")
    handler = type("Handler", (_Handler,), {"front": front, "upstream": parts.netloc})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        front.url = parts._replace(netloc=f"127.0.0.1:{server.server_address[1]}").geturl()
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield front
        finally:
            server.shutdown()
            serving.join(5)

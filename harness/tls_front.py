"""TLS in front of a loopback server that speaks none, as an ingress has it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes passed on at a time.
_CHUNK = 1 << 16


@contextlib.contextmanager
def tls_front(context: ssl.SSLContext, upstream: int) -> Iterator[int]:
    """Listen with TLS on a free loopback port, pass everything to the port `upstream`, and give that port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=_accept, args=(listening, context, upstream), daemon=True)
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            # Wakes the thread that accepts; closing alone would not.
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(5)


def _accept(listening: socket.socket, context: ssl.SSLContext, upstream: int) -> None:
    while True:
        try:
            raw, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(raw, context, upstream), daemon=True).start()


def _serve(raw: socket.socket, context: ssl.SSLContext, upstream: int) -> None:
    client = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
    with client, contextlib.suppress(OSError):
        try:
            client.do_handshake()
        except ssl.SSLError:
            # Closing at once would reset the connection, and take the alert away from whoever has yet to read it.
            client.shutdown(socket.SHUT_WR)
            while client.recv(_CHUNK):
                pass
            return
        with socket.create_connection(("127.0.0.1", upstream)) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

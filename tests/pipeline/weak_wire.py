"""A wire to a broker that is weak: cut after so many bytes, or slow to bring answers."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: SO_LINGER on, zero seconds: closing sends RST.
_NO_LINGER = struct.pack("ii", 1, 0)


@contextmanager
def weak_wire(url: str, *, cuts: Sequence[int] = (), delay_s: float = 0.0) -> Iterator[str]:
    """Give the URL of a broker through a wire.

    The first connections are reset after so many bytes that we sent, one after the other; those that follow are whole.
    Answers come `delay_s` seconds late.
    """
    parts = urlsplit(url)
    upstream = (parts.hostname or "127.0.0.1", parts.port or 5672)
    left = list(cuts)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    client = listening.accept()[0]
                except OSError:
                    return
                bound = left.pop(0) if left else None
                threading.Thread(target=_serve, args=(client, upstream, bound, delay_s), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        port = listening.getsockname()[1]
        yield parts._replace(netloc=f"guest:guest@127.0.0.1:{port}").geturl()
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join(5)


def _serve(client: socket.socket, upstream: tuple[str, int], bound: int | None, delay_s: float) -> None:
    with client, socket.create_connection(upstream) as server:
        back = threading.Thread(target=_answer, args=(server, client, delay_s), daemon=True)
        back.start()
        sent = 0
        with suppress(OSError):
            while data := client.recv(1024 if bound is not None else 1 << 16):
                if bound is not None and sent + len(data) > bound:
                    server.sendall(data[: bound - sent])
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                    break
                server.sendall(data)
                sent += len(data)
        # Wakes the thread that reads.
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        back.join(5)


def _answer(server: socket.socket, client: socket.socket, delay_s: float) -> None:
    with suppress(OSError):
        while data := server.recv(1 << 16):
            # The wire itself is what takes the time.
            time.sleep(delay_s)
            client.sendall(data)

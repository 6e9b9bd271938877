"""A TCP proxy in a process of its own, whose connections can be cut, stalled and refused.

`python -m benchmarks.chaos.proxy PORT:TARGET_PORT …`; reads commands from its standard input, one per line, as
`cut PORT`, `stall PORT`, `refuse PORT` and `heal PORT`, and answers each with a line.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from typing import Final

from harness.processes import free_port

#: SO_LINGER on, zero seconds: closing sends RST.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

#: Bytes read at once.
_BYTES: Final = 65536


class Door:
    """One port, and the connections that came through it."""

    def __init__(self, port: int, target: int) -> None:
        """Take where to listen on loopback, and what is behind."""
        self.port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def heal(self) -> None:
        """Let everything through."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stall(self) -> None:
        """Keep the connections, and let no byte through."""
        self._flowing.clear()

    async def refuse(self) -> None:
        """Cut every connection, and accept none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Reset every connection that there is."""
        for writer in tuple(self._writers):
            connection = writer.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, there_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, there_writer))
                both.create_task(self._pass(there_reader, writer))
        except* OSError:
            pass
        finally:
            self._writers -= pair
            for one in pair:
                one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_BYTES):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if not writer.is_closing():
            writer.write_eof()


class Proxy:
    """The process, as the harness sees it."""

    def __init__(self, targets: dict[str, int]) -> None:
        """Take a name and a port on loopback for each target."""
        #: Where each is reached through the proxy.
        self.ports = {name: free_port() for name in targets}
        doors = [f"{self.ports[name]}:{target}" for name, target in targets.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *doors], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self._process.stdout.readline()

    def tell(self, what: str, name: str) -> None:
        """Cut, stall, refuse or heal the connections of a target."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what} {self.ports[name]}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def stop(self) -> None:
        """End the process."""
        with self._process:
            self._process.kill()


async def main() -> None:
    """Be the process."""
    pairs = (argument.split(":") for argument in sys.argv[1:])
    doors = {port: Door(int(port), int(target)) for port, target in pairs}
    for door in doors.values():
        await door.heal()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, port = line.split()
        await {"cut": doors[port].cut, "stall": doors[port].stall, "refuse": doors[port].refuse}.get(
            what, doors[port].heal
        )()
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

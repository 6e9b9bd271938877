"""A RabbitMQ of our own for tests that break it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, Request, build_opener

import pika
from pika.exceptions import AMQPError

from harness.processes import START_S, STOP_S, executable, free_port, unique
from harness.support import wait_until
from testbus_broker.connection import without_pikas_log

#: Where Debian keeps RabbitMQ's own scripts; those in PATH insist on the user rabbitmq.
RABBITMQ_SCRIPTS: Final = Path("/usr/lib/rabbitmq/bin")


class PrivateRabbitMQ:
    """A RabbitMQ of our own, on free ports, that tests may kill; its data stays in its folder."""

    def __init__(self, folder: Path, *, config: str = "", management: bool = False) -> None:
        """Take the folder for data and logs, further lines of rabbitmq.conf, and whether it has a management interface.

        `start` starts it. Raises ServiceMissingError when there is none.
        """
        self._server = _script("rabbitmq-server")
        self._folder = folder
        self._port, self._epmd_port, dist = free_port(), free_port(), free_port()
        #: http:// URL of its management interface, with its login; None without.
        self.management_url: str | None = None
        if management:
            port = free_port()
            self.management_url = f"http://guest:guest@127.0.0.1:{port}"
            config += f"\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n"
        plugins = "[rabbitmq_management].\n" if management else "[].\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        for name, text in {"rabbitmq.conf": config, "env.conf": "", "plugins": plugins}.items():
            (folder / name).write_text(text)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"{unique('testbus-')}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }

    @property
    def url(self) -> str:
        """Return where it listens; stays the same through restarts."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}/%2F"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables by which RabbitMQ's own tools find it."""
        scripts = f"{RABBITMQ_SCRIPTS}{os.pathsep}{self._environment['PATH']}"
        return {**self._environment, "PATH": scripts}

    @property
    def pid(self) -> int:
        """Return the process id of the server itself, which is a child of the script that we started."""
        return int((self._folder / "pid").read_text())

    def start(self) -> None:
        """Start it, with the data that it had, and wait until it answers."""
        if self._epmd is None and (epmd := shutil.which("epmd")):
            command = [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen(command, start_new_session=True)
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self._server], env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        wait_until(lambda: answers_amqp(self.url), START_S, f"the private RabbitMQ answers; see {self._folder}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server: SIGSTOP makes it hang, SIGCONT go on."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power failure would, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._gone()

    def stop(self) -> None:
        """Shut it down, and everything that was started for it."""
        if self._process and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self._gone()
        if self._epmd:
            self._epmd.terminate()
            self._epmd.wait(STOP_S)
            self._epmd = None

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl for this server and return what it prints."""
        command = [_script("rabbitmqctl"), "--quiet", *arguments]
        return subprocess.check_output(command, env=self._environment, text=True, stderr=subprocess.STDOUT)

    def add_virtual_host(self, name: str) -> None:
        """Add a virtual host that its user may do everything in; with the management interface alone."""
        self._manage("PUT", f"vhosts/{name}")
        self._manage("PUT", f"permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})

    def delete_virtual_host(self, name: str) -> None:
        """Delete a virtual host with all that is in it; with the management interface alone."""
        self._manage("DELETE", f"vhosts/{name}")

    def _manage(self, method: str, path: str, body: object = None) -> None:
        assert self.management_url
        url, login = self.management_url.replace("guest:guest@", ""), base64.b64encode(b"guest:guest").decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        request = Request(f"{url}/api/{path}", json.dumps(body).encode(), headers, method=method)
        with build_opener(ProxyHandler({})).open(request, timeout=START_S):
            pass

    def _gone(self) -> None:
        assert self._process
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait(STOP_S)


def startable() -> bool:
    """Tell whether there is a RabbitMQ that could be started."""
    return (RABBITMQ_SCRIPTS / "rabbitmq-server").exists() or shutil.which("rabbitmq-server") is not None


def answers_amqp(url: str) -> bool:
    """Tell whether a RabbitMQ answers there, and knows user and virtual host."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = 3
    with without_pikas_log(), suppress(AMQPError, OSError):
        pika.BlockingConnection(parameters).close()
        return True
    return False


def _script(name: str) -> str:
    found = RABBITMQ_SCRIPTS / name
    return str(found) if found.exists() else executable(name, "RabbitMQ")

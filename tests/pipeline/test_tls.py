"""Encrypted to the broker, with an authority of one's own: what is verified works everywhere, what is not nowhere."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from harness.deployment import SOON_S, Deployment
from harness.processes import free_port
from harness.support import require_localhost, wait_until
from testbus_broker.accounts import Management
from testbus_broker.connection import connected
from testbus_broker.errors import ConnectFailedError, UsersError
from testbus_consumers import settings
from testbus_consumers.worker.celery_app import create_app
from testbus_schemas.identity import new_id

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.private_rabbitmq import PrivateRabbitMQ

#: What is wrong with a server, and what is said of it.
FAULTS = {
    "unknown authority": "add ?cacertfile=",
    "another host": "not valid for 'localhost'",
    "expired": "certificate has expired",
    "no TLS": "does TLS listen on that port",
}


class Certificates:
    """An authority of our own, and what it certified."""

    def __init__(self, folder: Path) -> None:
        """Make it, in a folder."""
        self.authority = trustme.CA()
        self.folder = folder
        #: File that says whom to trust.
        self.trusted = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.trusted))

    def certify(self, *names: str, days: int = 1, authority: trustme.CA | None = None) -> trustme.LeafCert:
        """Return a certificate for these hosts; with negative days it has expired."""
        end = datetime.now(UTC) + timedelta(days=days)
        return (authority or self.authority).issue_cert(*names, not_before=end - timedelta(days=2), not_after=end)

    def files(self, certificate: trustme.LeafCert) -> tuple[Path, Path]:
        """Return a certificate and its key as files."""
        chain, key = self.folder / "server.pem", self.folder / "server.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        key.write_bytes(certificate.private_key_pem.bytes())
        return chain, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give an authority."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def url(module_rabbitmq: Callable[..., PrivateRabbitMQ], certificates: Certificates) -> str:
    """Give the amqps:// URL of a RabbitMQ with a certificate for localhost, naming the authority."""
    port = free_port()
    chain, key = certificates.files(certificates.certify("localhost"))
    module_rabbitmq(
        config=f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {chain}\nssl_options.keyfile = {key}\n"
        f"ssl_options.cacertfile = {certificates.trusted}\nssl_options.verify = verify_none\n"
    )
    return f"amqps://guest:guest@localhost:{port}/%2F?cacertfile={certificates.trusted}"


@contextmanager
def listening(certificate: trustme.LeafCert | None) -> Iterator[int]:
    """Give the port of a server that shakes hands with this certificate, or does not know TLS, and says no more."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if certificate is not None:
        certificate.configure_cert(context)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    taken, _ = server.accept()
                    with suppress(OSError), taken:
                        if certificate is None:
                            taken.sendall(b"AMQP\x00\x00\x09\x01")
                        else:
                            context.wrap_socket(taken, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture(params=FAULTS)
def unsafe(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[tuple[str, str]]:
    """Give `localhost:port?cacertfile=…` of a server that must not be trusted, and what is said of it."""
    require_localhost()
    certificate = {
        "unknown authority": certificates.certify("localhost", authority=trustme.CA()),
        "another host": certificates.certify("elsewhere.example"),
        "expired": certificates.certify("localhost", days=-1),
        "no TLS": None,
    }[request.param]
    with listening(certificate) as port:
        yield f"localhost:{port}/?cacertfile={certificates.trusted}", FAULTS[request.param]


def test_the_whole_pipeline_encrypted(url: str, database_url: str, tmp_path: Path) -> None:
    """Runner and its relay, workers, verdict, dead letters and replay: all with a private authority."""
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_it.py").write_text("def test_a(): pass\n", encoding="utf-8")
    (suite / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    with Deployment(folder=tmp_path, amqp_url=url, database_url=database_url, portals=("a",), slack=False) as running:
        run = new_id()
        assert "1 result in" in running.pytest(suite, TESTBUS_RUN_ID=run, TESTBUS_EXIT_TIMEOUT="30").stdout
        assert running.verdict(run)["verdict"] == "passed"
        wait_until(lambda: (one := running.launch("a", run)) and one.end_time, SOON_S, "ReportPortal has it all")
        assert running.testbus("check").returncode == 0
        assert "would be" in running.testbus("replay", "gates", "--dry-run").stdout
        assert "0 dead letters" in running.testbus("dlq", "list", "gates").stdout


def test_an_unsafe_broker_is_given_nothing(unsafe: tuple[str, str]) -> None:
    """The password is not sent, and the message says what is wrong and what helps."""
    place, said = unsafe
    with pytest.raises(ConnectFailedError, match="TLS failed") as caught, connected(f"amqps://u:hunter2@{place}"):
        raise AssertionError
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_celery_trusts_no_other_broker_than_the_rest(unsafe: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers verify authority, host name and date like everybody: Celery by itself leaves out the host name."""
    monkeypatch.setenv(settings.URL_VARIABLE, f"amqps://u:hunter2@{unsafe[0]}")
    app = create_app(settings.Settings())
    with app.connection() as connection, pytest.raises(OSError):  # noqa: PT011 of any kind
        connection.connect()


def test_a_runner_spools_what_it_cannot_send_safely(unsafe: tuple[str, str], tmp_path: Path) -> None:
    """The relay refuses too; the results wait, and the last line says why."""
    place, said = unsafe
    (tmp_path / "test_it.py").write_text("def test_a(): pass\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    running = Deployment(folder=tmp_path, amqp_url=f"amqps://u:hunter2@{place}", database_url="")
    running.config = tmp_path / "none.yaml"
    # Time enough for a relay to start on a busy machine, and to be refused.
    done = running.pytest(tmp_path, TESTBUS_EXIT_TIMEOUT="6")
    assert done.returncode == 0
    assert "1 result spooled" in done.stdout
    assert said in done.stdout, done.stdout
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", [["check"], ["broker", "declare"], ["dlq", "list", "gates"], ["worker", "gates"]])
def test_nothing_goes_in_clear_to_another_machine(command: list[str], tmp_path: Path) -> None:
    """amqp:// without TLS is refused before anything is sent, unless it is allowed."""
    running = Deployment(folder=tmp_path, amqp_url="amqp://u:hunter2@192.0.2.1/ci", database_url="")
    running.config = tmp_path / "testbus.yaml"
    running.config.write_text("{}", encoding="utf-8")
    done = running.testbus(*command, check=False, TESTBUS_DATABASE_URL=f"sqlite:///{tmp_path}/state")
    assert done.returncode != 0
    assert "use amqps://, or allow plaintext" in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_the_management_interface_is_verified_too(unsafe: tuple[str, str]) -> None:
    """An administrator's password goes to nobody else."""
    admin: Any = Management(f"https://admin:hunter2@{unsafe[0]}")
    with pytest.raises(UsersError, match="TLS failed") as caught:
        admin.existing()
    assert unsafe[1] in str(caught.value)

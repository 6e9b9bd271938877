"""TLS between the workers and a ReportPortal: private CAs, client certificates, and what is said of what is wrong."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from harness.runs_of import START, passed, recorded
from harness.tls_front import tls_front
from testbus_consumers.errors import SettingsError
from testbus_consumers.reportportal.settings import ReportPortalTarget
from testbus_consumers.runtime.delivery import Acknowledge
from testbus_consumers.settings import parse
from testbus_consumers.testing import run_context
from tests.consumers.reportportal.test_settings import LEAST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer
    from tests.consumers.reportportal.looking import Look


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a private CA."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Return its certificate as a file."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def served(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """Return the TLS of a server with a certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def test_a_private_ca_has_to_be_named(
    look: Look, portal: ReportPortalServer, authority: trustme.CA, ca_file: Path
) -> None:
    """Without it the certificate is not trusted, and the message says where to name it; with it all is well."""
    with tls_front(served(authority, "127.0.0.1"), int(portal.url.rpartition(":")[2])) as port:
        endpoint = f"https://127.0.0.1:{port}"
        level, detail = look(endpoint=endpoint)["reachability"]
        assert level == "failed"
        assert "its certificate is not trusted" in detail
        assert "in tls.ca_file" in detail
        assert {level for level, _ in look(endpoint=endpoint, tls={"ca_file": ca_file}).values()} == {"ok"}


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (("reportportal.example.com",), {}, "the certificate is not for that address"),
        (("127.0.0.1",), {"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "the server needs a new certificate"),
    ],
)
def test_a_certificate_that_does_not_hold_is_explained(
    *,
    look: Look,
    portal: ReportPortalServer,
    authority: trustme.CA,
    ca_file: Path,
    names: tuple[str, ...],
    options: dict[str, Any],
    said: str,
) -> None:
    """Another name, or too old: each with what to do."""
    if options:
        options = options | {"not_before": datetime(2019, 1, 1, tzinfo=UTC)}
    with tls_front(served(authority, *names, **options), int(portal.url.rpartition(":")[2])) as port:
        _, detail = look(endpoint=f"https://127.0.0.1:{port}", tls={"ca_file": ca_file})["reachability"]
    assert said in detail


def test_a_server_may_want_a_clients_certificate(
    *,
    look: Look,
    make_worker: Callable[..., ConsumerHarness],
    portal: ReportPortalServer,
    authority: trustme.CA,
    ca_file: Path,
    tmp_path: Path,
) -> None:
    """Without one it refuses and the message names the settings; with one a run is reported."""
    ours = authority.issue_cert("worker")
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
    context = served(authority, "127.0.0.1")
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with tls_front(context, int(portal.url.rpartition(":")[2])) as port:
        endpoint = f"https://127.0.0.1:{port}"
        _, detail = look(endpoint=endpoint, tls={"ca_file": ca_file})["reachability"]
        assert "tls.certificate and tls.key" in detail
        files = {"ca_file": ca_file, "certificate": tmp_path / "certificate.pem", "key": tmp_path / "key.pem"}
        assert look(endpoint=endpoint, tls=files)["rights"][0] == "ok"
        worker = make_worker(endpoint=endpoint, tls=files)
        assert worker.deliver(recorded(run_context(started_at=START), passed("test_a"))) == Acknowledge(note="1 items")


def test_a_port_without_tls_is_explained(look: Look, portal: ReportPortalServer) -> None:
    """An https:// endpoint at an http:// port."""
    _, detail = look(endpoint=portal.url.replace("http:", "https:"))["reachability"]
    assert "no TLS is spoken there" in detail


@pytest.mark.parametrize(("name", "text"), [("missing.pem", None), ("empty.pem", "nothing\n")])
def test_a_file_that_cannot_be_used_is_named(look: Look, tmp_path: Path, name: str, text: str | None) -> None:
    """With what is wrong with it."""
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    for files in ({"ca_file": tmp_path / name}, {"certificate": tmp_path / name}):
        level, detail = look(endpoint="https://127.0.0.1:1", tls=files)["reachability"]
        assert level == "failed"
        assert f"{tmp_path / name} cannot be used: " in detail


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tls": {"key": "k.pem"}}, "eu: tls: .*key is of no use without certificate"),
        ({"tls": {"verify": False}}, "eu: tls.verify: unknown key; allowed here: ca_file, certificate, key"),
        ({"endpoint": "http://127.0.0.1", "tls": {"ca_file": "ca.pem"}}, "tls is of no use"),
    ],
)
def test_tls_options_that_do_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    """And there is none that switches the check of certificates off."""
    with pytest.raises(SettingsError, match=said):
        parse(ReportPortalTarget, LEAST | wrong, "eu")

"""Where to connect: safe by default, and never a password on the screen."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbus_broker import connection
from testbus_broker.errors import BrokerUrlError, ConnectFailedError, PlaintextRefusedError

SECRET = "hunter2"


def test_a_url_says_everything() -> None:
    """User, password, virtual host and port are taken from the URL, with their escapes undone."""
    found = connection.parameters("amqp://us%40er:p%2Fw@127.0.0.1:1234/a%2Fb")
    assert (found.host, found.port, found.virtual_host) == ("127.0.0.1", 1234, "a/b")
    assert (found.credentials.username, found.credentials.password) == ("us@er", "p/w")
    assert found.ssl_options is None
    assert found.heartbeat == connection.HEARTBEAT_S
    assert found.blocked_connection_timeout


@pytest.mark.parametrize("url", ["amqp://localhost", "amqp://localhost/", "amqp://localhost/%2F"])
def test_the_default_virtual_host(url: str) -> None:
    """Without a virtual host it is the broker's default one."""
    found = connection.parameters(url)
    assert (found.virtual_host, found.port) == ("/", 5672)


def test_off_this_machine_the_broker_is_verified() -> None:
    """With amqps certificate and host name are checked."""
    found = connection.parameters(f"amqps://u:{SECRET}@broker.example/ci")
    assert found.port == 5671
    assert found.ssl_options.server_hostname == "broker.example"
    assert found.ssl_options.context.verify_mode is ssl.CERT_REQUIRED
    assert found.ssl_options.context.check_hostname


@pytest.mark.parametrize("host", ["broker.example", "10.0.0.1", "[2001:db8::1]"])
def test_plaintext_to_another_machine_is_refused(host: str) -> None:
    """The error says what to do, and does not show the password; it can be allowed."""
    url = f"amqp://u:{SECRET}@{host}/ci"
    with pytest.raises(PlaintextRefusedError, match="use amqps://, or allow plaintext") as caught:
        connection.parameters(url)
    assert SECRET not in str(caught.value)
    assert connection.parameters(url, allow_plaintext=True).port == 5672


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_plaintext_on_this_machine_is_fine(host: str) -> None:
    """Loopback needs no TLS."""
    assert connection.parameters(f"amqp://u:p@{host}/").ssl_options is None


@pytest.mark.parametrize(
    "url",
    [
        "http://broker.example",
        "broker.example",
        "",
        f"amqp://user:{SECRET}/ab@host",
        f"amqps://user:{SECRET}@host:no-port/",
        f"amqps://user:{SECRET}@host/?verify=none",
        f"amqps://user:{SECRET}@host/?cacertfile=/nowhere/ca.pem",
        "amqps://[::1",
    ],
)
def test_urls_that_cannot_work(url: str) -> None:
    """Each is refused with the form to use, or what is wrong, and without the password."""
    with pytest.raises(BrokerUrlError) as caught:
        connection.parameters(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in connection.redacted(url)


@given(user=st.text("abc%", max_size=4), password=st.text(":/@?#%[]xy", min_size=3, max_size=12))
def test_no_password_is_ever_shown(user: str, password: str) -> None:
    """However odd the password, and wrongly escaped, it is not in the redacted URL."""
    shown = connection.redacted(f"amqps://{user}:QQ{password}QQ@host/vhost")
    assert "QQ" not in shown.removeprefix(f"amqps://{user}")


def test_redacting_keeps_the_rest() -> None:
    """User, host and virtual host stay, and URLs without a password are as they were."""
    assert connection.redacted("amqps://u:p@h:1/v?cacertfile=x") == "amqps://u:***@h:1/v?cacertfile=x"
    for url in ("amqps://h/v", "amqps://u@h/v", "file:///home"):
        assert connection.redacted(url) == url


def test_what_a_person_needs_to_know() -> None:
    """An endpoint is host, port and virtual host."""
    assert connection.endpoint("amqps://u:p@h/v") == "h:5671/v"


def test_nobody_listens() -> None:
    """A refused connection is said with host and port."""
    with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.1:1/: connection refused"):  # noqa: SIM117 says what raises
        with connection.connected(f"amqp://u:{SECRET}@127.0.0.1:1"):
            raise AssertionError

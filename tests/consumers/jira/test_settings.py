"""The section `consumers.jira`, and whether what it says can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from testbus_consumers import registry
from testbus_consumers.errors import ConsumerError, SettingsError
from testbus_consumers.jira.issues import METADATA
from testbus_consumers.jira.settings import JiraSettings
from testbus_consumers.settings import Settings, parse
from tests.consumers.jira.failing import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer

GOOD: dict[str, Any] = {"url": "https://acme.atlassian.net/", "token": {"env": TOKEN_VARIABLE}, "project": "SHOP"}


def test_one_key_or_a_map_says_where_issues_go() -> None:
    """The shortest section; a trailing slash does not matter."""
    settings = parse(JiraSettings, GOOD, "testbus.yaml")
    assert settings.url == "https://acme.atlassian.net"
    assert settings.project == {"*": "SHOP"}
    assert parse(JiraSettings, GOOD | {"project": {"web": "WEB"}}, "x").project == {"web": "WEB"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "acme.atlassian.net"}, "expected an address"),
        ({"url": "http://jira.example.com"}, "use https:// or allow_plaintext"),
        ({"url": "https://me:secret@jira.example.com"}, "use user and token"),
        ({"project": "shop"}, "project"),
        ({"project": {}}, "project"),
        ({"token": "abc"}, "token"),
        ({"fields": {"labels": ["x"]}}, "labels: testbus sets these itself"),
        ({"labels": ["a b"]}, "labels"),
        ({"settle_s": 5}, "settle_s must be more than twice timeout_s (10)"),
        ({"flavour": "cloud"}, "user is missing"),
        ({"flavour": "server"}, "flavour"),
        ({"branches": []}, "branches"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_fault_is_named_without_its_value(given: dict[str, Any], said: str) -> None:
    """By key and what is allowed; a secret in the wrong place is not shown."""
    with pytest.raises(SettingsError) as caught:
        parse(JiraSettings, GOOD | given, "testbus.yaml", "consumers.jira")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_plain_text_may_be_allowed() -> None:
    """For a Jira in a network that one trusts."""
    assert parse(JiraSettings, GOOD | {"url": "http://jira.lan", "allow_plaintext": True}, "x").url == "http://jira.lan"


def test_jira_is_one_of_the_consumers() -> None:
    """Configured by its name, it has a queue that gets launches and decisions."""
    (found,) = registry.find(Settings(consumers={"jira": GOOD}), "jira")
    assert found.subscription.patterns == (
        "launch.linked.*",
        "run.completed.*",
        "run.interrupted.*",
    )


def test_check_says_what_may_be_done(make_worker: Callable[..., ConsumerHarness], jira: JiraServer) -> None:
    """Version, account and projects; what is missing is named with the setting or permission to give."""
    worker = make_worker(project={"web": "SHOP", "*": "OPS"})
    kind = {"cloud": "Cloud", "datacenter": "Server"}[jira.flavour]
    assert checked(worker).startswith(f"Jira {kind} ")
    assert checked(worker).endswith(" as testbus: may file in OPS, SHOP")
    jira.require("customfield_10010", "Team")
    assert "consumers.jira.fields: Bug in SHOP also needs customfield_10010 (Team)" in checked(worker)
    assert "may file" in checked(make_worker(fields={"customfield_10010": "x"}))
    assert "no issue type 'Wish'" in checked(make_worker(issue_type="Wish"))
    jira.deny("ADD_COMMENTS")
    assert "consumers.jira.project.web: the account lacks ADD_COMMENTS in SHOP" in checked(worker)
    jira.deny()
    assert "may the account see it?" in checked(make_worker(project="NONE"))


def checked(worker: ConsumerHarness) -> str:
    """Return what the check finds, or what it raises."""
    check = worker.policy.consumer.check
    assert check is not None
    try:
        return check(worker.policy.client)
    except ConsumerError as error:
        return str(error)


@pytest.mark.parametrize("flavour", ["cloud"])
def test_migrations_make_the_tables(worker: ConsumerHarness) -> None:
    """The revisions lead to what the code expects."""
    with worker.policy.store.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables}
        )
        assert compare_metadata(context, METADATA) == []

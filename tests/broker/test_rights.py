"""Accounts: what each may do, as RabbitMQ reads the regular expressions."""

from __future__ import annotations

import re

import pytest

from testbus_broker import accounts

#: What Celery's own tools use.
PIDBOX = (
    "testbus.celery.pidbox",
    "reply.testbus.celery.pidbox",
    "gates@host.testbus.celery.pidbox",
    "5f0c.reply.testbus.celery.pidbox",
    "testbus.celery.events",
)


def may(account: accounts.Account, right: str, name: str) -> bool:
    """Tell whether an account has a right on a name: RabbitMQ searches, it does not match the whole."""
    return re.search(getattr(account, right), name) is not None


@pytest.mark.parametrize("make", [accounts.workers, accounts.operator])
def test_celerys_tools_need_rights_that_are_given_where_they_are_switched_on(make: type) -> None:
    """And no others: what an account may do with queues and exchanges of events stays the same."""
    plain, celery = make(), make(celery=True)
    for right in ("configure", "write", "read"):
        assert all(may(celery, right, name) for name in PIDBOX)
        for name in ("testbus.events", "testbus.requests", "testbus.queue.gates", "amq.default", "xtestbus.celery.x"):
            assert may(plain, right, name) == may(celery, right, name)
    assert not any(may(accounts.workers(), right, name) for right in ("configure", "write", "read") for name in PIDBOX)


def test_approvers_override_the_rules_of_their_project_and_do_nothing_else() -> None:
    """Operators may for every project, as may workers, who hear of it in Slack; no runner may."""
    everybody = {account.name: account for account in accounts.accounts(["web"], ["web"])}
    approver = everybody["testbus-approver-web"]
    assert (approver.configure, approver.read) == (accounts.NOTHING, accounts.NOTHING)
    names = ("testbus.events", "testbus.requests", "testbus.queue.runs", "testbus.stream", "amq.default")
    assert [name for name in names if may(approver, "write", name)] == ["testbus.events"]
    keys = ("override.requested.web", "override.requested.shop", "override.recorded.web", "results.recorded.web")
    assert {
        name: [key for key in keys if may(account, "topics", key)]
        for name, account in everybody.items()
        if account.topics is not None
    } == {
        "testbus-approver-web": ["override.requested.web"],
        "testbus-operator": ["override.requested.web", "override.requested.shop"],
        "testbus-workers": ["override.requested.web", "override.requested.shop", "override.recorded.web"],
        "testbus-runner-web": ["results.recorded.web"],
    }


def test_runners_control_no_worker() -> None:
    """Whatever is switched on."""
    for account in accounts.accounts(["web"], celery=True):
        if account.name.startswith("testbus-runner"):
            assert not any(may(account, right, name) for right in ("configure", "write", "read") for name in PIDBOX)

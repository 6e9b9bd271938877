"""ReportPortal's rules for linking tickets: those of UpdateTestItemHandlerImpl and ExternalTicketHandlerImpl."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.reportportal.fields import SIZE, Body, unreadable
from testbus_sandbox.reportportal.models import POSITIVE
from testbus_sandbox.reportportal.refusals import ISSUE_TYPE_UNRESOLVED, refuse
from testbus_sandbox.reportportal.request_models import read_tickets

if TYPE_CHECKING:
    from testbus_sandbox.reportportal.models import ExternalIssue, ItemRecord
    from testbus_sandbox.reportportal.store import Store

#: Items, and tickets, in one request.
MOST: Final = 300

#: What validation says of an empty list.
_EMPTY: Final = "Field '{}' should not be empty."


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkIssues:
    """PUT /item/issue/link."""

    #: Numbers of the items.
    items: tuple[int, ...]
    #: Tickets.
    tickets: tuple[ExternalIssue, ...]

    @classmethod
    def read(cls, data: Any) -> LinkIssues:
        """Read the JSON; raise ReportPortalError 4001 for what is not valid."""
        body = Body(data)
        request = cls(items=_numbers(body), tickets=read_tickets(body, "issues"))
        for name, values in (("testItemIds", request.items), ("issues", request.tickets)):
            if not values:
                body.violated(_EMPTY, name)
            elif len(values) > MOST:
                body.violated(SIZE, name, 0, MOST)
        body.check()
        return request


def link(store: Store, request: LinkIssues) -> list[ItemRecord]:
    """Add tickets to items and return these; raise ReportPortalError 40020, and then none is changed.

    Items that are not there are left out without a word. A ticket that the server knows by its id stays as it is known.
    The type of the defect and its comment stay.
    """
    items = [store.items[number] for number in dict.fromkeys(request.items) if number in store.items]
    if errors := [error for item in items if (error := _refusal(item))]:
        raise refuse(ISSUE_TYPE_UNRESOLVED, f"[{', '.join(errors)}]")
    tickets = [store.tickets.setdefault(ticket.ticket_id, ticket) for ticket in request.tickets]
    for item in items:
        assert item.issue is not None
        external = tuple(dict.fromkeys([*item.issue.external, *tickets]))
        item.issue = replace(item.issue, external=external, auto_analyzed=False)
    return items


def _refusal(item: ItemRecord) -> str | None:
    if item.status in POSITIVE:
        return f"Issue status update cannot be applied on {item.status} test items, cause it is not allowed."
    if item.has_children:
        return (
            f"It is not allowed to update issue type for items with descendants. Test item '{item.id}' has descendants."
        )
    if item.issue is None:
        return (
            f"Cannot update issue type for test item '{item.id}', cause there is no info about actual issue type value."
        )
    return None


def _numbers(body: Body) -> tuple[int, ...]:
    found = body.raw("testItemIds")
    if found is None:
        return ()
    if not isinstance(found, list) or not all(str(number).isdecimal() for number in found):
        raise unreadable("Cannot deserialize value of type `java.lang.Long` for field 'testItemIds'")
    return tuple(int(number) for number in found)

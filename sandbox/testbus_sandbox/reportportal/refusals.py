"""ReportPortal's error types that the sandbox's rules use: code, HTTP status and message, as service-api has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from testbus_sandbox.errors import ReportPortalError


@dataclass(frozen=True, slots=True)
class ErrorType:
    """One line of service-api's ErrorType: `{}` in the message are filled in order."""

    #: ReportPortal's errorCode.
    code: int
    #: HTTP status.
    status: int
    #: Text with `{}` to fill.
    message: str


INCORRECT_REQUEST: Final = ErrorType(4001, 400, "Incorrect Request. {}")
BINARY_DATA_CANNOT_BE_SAVED: Final = ErrorType(4002, 400, "Binary data cannot be saved. {}")
ACCESS_DENIED: Final = ErrorType(4003, 403, "You do not have enough permissions. {}")
INCORRECT_FILTER_PARAMETERS: Final = ErrorType(40011, 400, "Incorrect filtering parameters. {}")
INCORRECT_SORTING_PARAMETERS: Final = ErrorType(40012, 400, "Sorting parameter {} is not defined")
BAD_REQUEST: Final = ErrorType(40016, 400, "Error in handled Request. Please, check specified parameters: '{}'")
AMBIGUOUS_STATUS: Final = ErrorType(40019, 400, "Test item status is ambiguous. {}")
ISSUE_TYPE_UNRESOLVED: Final = ErrorType(40020, 400, "Test items issue type cannot be resolved. {}")
FINISH_EARLIER_THAN_START: Final = ErrorType(
    40021, 406, "Finish time '{}' is earlier than start time '{}' for resource with ID '{}'"
)
FINISH_LAUNCH_NOT_ALLOWED: Final = ErrorType(40023, 406, "Finish launch is not allowed. {}")
LAUNCH_IS_NOT_FINISHED: Final = ErrorType(40024, 406, "Unable to perform operation for non-finished launch. {}")
CHILD_EARLIER_THAN_PARENT: Final = ErrorType(
    40025,
    406,
    "Start time of child ['{}'] item should be same or later than start time ['{}'] of the parent item/launch '{}'",
)
FORBIDDEN_OPERATION: Final = ErrorType(40010, 403, "Forbidden operation. {}")
RETRIES_HANDLER: Final = ErrorType(40036, 400, "Incorrect retries processing. {}")
CHILD_OF_A_RETRY: Final = ErrorType(40041, 400, "Item with id = '{}' is a retry and can not have children")
LAUNCH_NOT_FOUND: Final = ErrorType(4041, 404, "Launch '{}' not found. Did you use correct Launch ID?")
ITEM_NOT_FOUND: Final = ErrorType(4043, 404, "Test Item '{}' not found. Did you use correct Test Item ID?")
LOG_NOT_FOUND: Final = ErrorType(4044, 404, "Log '{}' not found. Did you use correct Log ID?")
ISSUE_TYPE_NOT_FOUND: Final = ErrorType(40416, 404, "Issue Type '{}' not found.")
UNABLE_TO_LOAD_BINARY_DATA: Final = ErrorType(40427, 404, "Unable to load binary data by id '{}'")
UNCLASSIFIED: Final = ErrorType(5000, 500, "Unclassified error [{}]")


def refuse(kind: ErrorType, *values: object, missing: str | None = None) -> ReportPortalError:
    """Return the error to raise; `missing` is the uuid that was not found, which v2 waits for."""
    message = kind.message
    for value in values:
        message = message.replace("{}", str(value), 1)
    return ReportPortalError(message.replace("{}", "").rstrip(), status=kind.status, code=kind.code, missing=missing)


def duplicate(constraint: str) -> ReportPortalError:
    """Return what a unique index of PostgreSQL says through ReportPortal (only the first line of it)."""
    return refuse(
        UNCLASSIFIED,
        f'could not execute statement [ERROR: duplicate key value violates unique constraint "{constraint}"',
    )


def too_long(characters: int) -> ReportPortalError:
    """Return what a column of PostgreSQL says of a longer text, through ReportPortal."""
    return refuse(
        UNCLASSIFIED, f"could not execute statement [ERROR: value too long for type character varying({characters})]"
    )

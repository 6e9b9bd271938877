"""A run in which every text that comes from outside tries to be more than text."""

from __future__ import annotations

from testbus_schemas import Failure
from tests.cli.report.samples import Told, failed, passed, rule

#: Would run in a page, break a table, and colour a terminal.
NAME = "tests/test_x.py::test[<script>alert(1)</script>|`code`\"'&\x1b[31m\u202e]"

#: Is no address that may be followed.
URL = "javascript:alert(document.cookie)"


def hostile_run() -> Told:
    """Return the run."""
    failure = Failure(
        type="<b>Error</b>", message=f"a | b {NAME}", text=f"```\n{NAME}\n</pre><script>alert(2)</script>\nE   {NAME}"
    )
    told = Told(
        run="web|<img src=x onerror=alert(3)>", branch="a|<script>b", build_url=URL, labels={"<i>": "<u>"},
        suite="<script>alert(4)</script>",
    )  # fmt: skip
    told.producer("<p1>", variant="<v|1>", build_url=URL)
    told.results("<p1>", failed(NAME, failure, printed="<script>alert(5)</script>\x1b]0;title\x07"))
    told.results("<p1>", failed("again|", failure), passed("again|", attempt=2))
    told.coverage("<p1>", **{"<script>|": ("1-10", "1-5")})
    told.finished("<p1>", exit_status=1)
    told.producer("p2", variant="other")
    told.finished("p2")
    told.completed()
    told.judged("failed", rule("pass_rate", f"below | {NAME}"))
    told.linked(failure, "X-1|<s>", url=URL, status="<em>")
    return told

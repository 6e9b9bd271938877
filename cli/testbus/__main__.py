"""`python -m testbus` is `testbus`."""

from __future__ import annotations

from testbus.main import main

main()

"""Memory of the processes that run tests, as Linux shows it: looked at by the relay, so that no test pays for it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds between two looks.
SAMPLE_S: Final = 0.1

#: Looks at one process that are kept; of more, two become one.
_MAX_SAMPLES: Final = 4096

#: Highest and present resident memory of a process, in KiB.
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_NOW: Final = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)

#: How long a test took, in its result; what is shorter than this is no matter of looks so far apart.
_SECONDS: Final = re.compile(rb'"duration_s":(\d+\.?\d*)')


class Memory:
    """Looks at a producer's process and at its workers. For one thread."""

    def __init__(self, process: int, *, folder: Path = Path("/proc")) -> None:
        """Begin with the producer's own process; `folder` is where the system shows its processes."""
        self._folder = folder
        self._processes: dict[str | None, int] = {None: process}
        self._peaks: dict[str | None, int] = {}
        self._samples: dict[str | None, list[tuple[float, int]]] = {}

    def add_worker(self, name: str, process: int) -> None:
        """Look at a worker, too: `gw0`."""
        self._processes[name] = process

    def look(self) -> None:
        """Look at all processes now; one that is gone keeps what was seen of it."""
        now = clock.now()
        for name, process in self._processes.items():
            try:
                status = (self._folder / str(process) / "status").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            peak, present = _PEAK.search(status), _NOW.search(status)
            if peak is None or present is None:
                continue
            self._peaks[name] = max(self._peaks.get(name, 0), int(peak[1]))
            samples = self._samples.setdefault(name, [])
            samples.append((now, int(present[1])))
            if len(samples) > _MAX_SAMPLES:
                pairs = zip(samples[::2], samples[1::2], strict=False)
                self._samples[name] = [(after[0], max(before[1], after[1])) for before, after in pairs]

    def of_results(self, bodies: Sequence[bytes]) -> tuple[tuple[int, int], ...]:
        """Return the place of each result during which its process was looked at, and its highest memory, in KiB."""
        found = []
        for place, body in enumerate(bodies):
            seconds = _SECONDS.search(body)
            if seconds is not None and float(seconds[1]) >= SAMPLE_S and (kb := self._of(json.loads(body))):
                found.append((place, kb))
        return tuple(found)

    def _of(self, result: Mapping[str, Any]) -> int | None:
        began = result.get("started_at")
        if began is None:
            return None
        start = datetime.fromisoformat(began).timestamp()
        end = start + result["duration_s"]
        seen = self._samples.get(result.get("worker"), [])
        return max((kb for at, kb in seen if start <= at <= end), default=None)

    def metrics(self) -> dict[str, Any] | None:
        """Return the highest memory of each process, as the data of `metrics.recorded`; None where none was seen."""
        names = {name: f"memory peak of {name}" if name else "memory peak" for name in self._peaks}
        metrics = [
            {"name": names[name], "value": float(peak), "unit": "KiB", "better": "lower"}
            for name, peak in self._peaks.items()
        ]
        return {"metrics": metrics} if metrics else None

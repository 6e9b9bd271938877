"""Bodies for fuzzing, from a seed: damaged events, JSON of no shape, random bytes."""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import Phase, given, settings

from harness import strategies
from harness.examples import EXAMPLES
from testbus_schemas import encode
from testbus_schemas.codec import inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from testbus_schemas import Event, EventData

#: Values that readers of JSON trip over.
ODD: tuple[str, ...] = (
    "null", "true", "false", "0", "-1", "1e400", "-1e400", "1e-400", "0.1e1", "NaN", "Infinity", "-Infinity",
    "1" * 400, "9223372036854775808", "-9223372036854775809", "18446744073709551616", "1.7976931348623157e309",
    '""',
    '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\x00"', '"\\x"', '"\u202e"', '"\U0001d54f"', '"' + "x" * 5000 + '"',
    "[]", "{}", "[[[[[[[[[[]]]]]]]]]]", "[" * 200 + "]" * 200, '{"a":' * 150 + "1" + "}" * 150, '{"":{}}',
    '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999999-23:59"', '"2026-02-30T00:00:00Z"', '"-1"', '"1e9"',
    '"io.testbus.results.recorded"', '"urn:testbus:results.recorded:1"', '"urn:testbus:results.recorded:\u0663"',
    '"unknown"',
    '{"index":0}', '{"index":1,"total":99999}', "[null]", '[{"node_id":""}]', "/**/1", "01", "+1", "1.", ".5", "'a'",
)  # fmt: skip

#: Events that hypothesis makes up.
MADE_UP = 200

#: Announced encodings of bodies.
ENCODINGS = (None, None, None, "", "identity", "utf-8", "gzip", "deflate", "br", "GZIP", "gzip, gzip", "\x00")


def _written(events: Iterable[Event[EventData]]) -> list[bytes]:
    return [
        json.dumps(json.loads(inflate(one.body, one.content_encoding)), ensure_ascii=False).encode("utf-8")
        for one in map(encode, events)
    ]


@cache
def _made_up() -> tuple[bytes, ...]:
    """Return events as hypothesis makes them up, always the same."""
    found: list[Event[EventData]] = []

    @settings(max_examples=MADE_UP, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(strategies.events)
    def keep(event: Event[EventData]) -> None:
        found.append(event)

    keep()
    return tuple(_written(found))


class Bodies:
    """Makes bodies; equal seeds make equal ones."""

    def __init__(self, seed: str | int) -> None:
        """Begin with the valid events of every type."""
        self._random = random.Random(seed)
        self._events = [*_written(EXAMPLES.values()), *_made_up()]
        self._makers: tuple[tuple[str, Callable[[], bytes], int], ...] = (
            ("valid", self._valid, 4),
            ("bits flipped", self._flipped, 20),
            ("pieces", self._pieces, 20),
            ("cut", self._cut, 8),
            ("JSON values", self._values, 30),
            ("JSON keys", self._keys, 12),
            ("JSON of no shape", self._shapeless, 10),
            ("random bytes", self._bytes, 10),
        )

    def stream(self, count: int) -> Iterator[tuple[str, bytes, str | None]]:
        """Yield (how it was made, body, announced encoding)."""
        source = self._random
        names, makers, weights = zip(
            *((name, (name, make), weight) for name, make, weight in self._makers), strict=True
        )
        del names
        for _ in range(count):
            name, make = source.choices(makers, weights)[0]
            body = make()
            if source.random() < 0.2:  # noqa: PLR2004 a fifth
                yield f"{name}, gzip", self._packed(body), "gzip"
            else:
                yield name, body, source.choice(ENCODINGS) if source.random() < 0.1 else None  # noqa: PLR2004 a tenth

    def event(self) -> bytes:
        """Return one valid event."""
        return self._random.choice(self._events)

    def _valid(self) -> bytes:
        return self.event()

    def _flipped(self) -> bytes:
        body = bytearray(self.event())
        for _ in range(self._random.choice((1, 1, 1, 2, 4, 16, 64))):
            body[self._random.randrange(len(body))] ^= 1 << self._random.randrange(8)
        return bytes(body)

    def _pieces(self) -> bytes:
        source = self._random
        body = bytearray(self.event())
        for _ in range(source.randint(1, 4)):
            at, length = source.randrange(len(body) + 1), source.choice((1, 1, 2, 5, 20, 100))
            change = source.randrange(4)
            if change == 0:
                del body[at : at + length]
            elif change == 1:
                body[at:at] = body[at : at + length] * source.choice((1, 2, 50))
            elif change == 2:  # noqa: PLR2004 the third of four
                body[at : at + length] = source.randbytes(length)
            else:
                other = self.event()
                start = source.randrange(len(other))
                body[at:at] = other[start : start + length]
        return bytes(body)

    def _cut(self) -> bytes:
        body = self.event()
        return body[: self._random.randrange(len(body))]

    def _values(self) -> bytes:
        source = self._random
        raw = json.loads(self.event())
        marks = {}
        for number in range(source.choice((1, 1, 1, 2, 3))):
            holder, key = self._place(raw)
            mark = f"@@{number}@@"
            marks[mark] = source.choice(ODD)
            holder[key] = mark
        text = json.dumps(raw, ensure_ascii=False)
        for mark, odd in marks.items():
            text = text.replace(f'"{mark}"', odd)
        return text.encode("utf-8", "surrogatepass")

    def _keys(self) -> bytes:
        source = self._random
        raw = json.loads(self.event())
        holder = self._table(raw)
        key = source.choice(list(holder))
        change = source.randrange(4)
        if change == 0:
            del holder[key]
        elif change == 1:
            holder[source.choice(("", "__class__", "x" * 3000, "\ud800", key.upper(), "@@"))] = holder.pop(key)
        elif change == 2:  # noqa: PLR2004 the third of four
            holder.update({f"more{number}": number for number in range(source.choice((1, 10, 500)))})
        # A key that stands twice, the second time with another value.
        text = json.dumps(raw, ensure_ascii=False)
        if change == 3:  # noqa: PLR2004 the fourth
            name = json.dumps(key)
            text = text.replace(f"{name}:", f"{name}: {source.choice(ODD)}, {name}:", 1)
        return text.encode("utf-8", "surrogatepass")

    def _shapeless(self) -> bytes:
        def value(depth: int) -> str:
            source = self._random
            if depth > 6 or source.random() < 0.4:  # noqa: PLR2004 few are deep
                return source.choice(ODD)
            inner = [value(depth + 1) for _ in range(source.randrange(4))]
            if source.random() < 0.5:  # noqa: PLR2004 half
                return "[" + ",".join(inner) + "]"
            names = ("type", "dataschema", "data", "context", "id", "", "specversion", "results")
            return "{" + ",".join(f'"{source.choice(names)}":{one}' for one in inner) + "}"

        return value(0).encode("utf-8", "surrogatepass")

    def _bytes(self) -> bytes:
        source = self._random
        body = source.randbytes(source.choice((0, 1, 2, 8, 64, 512, 4096)))
        return source.choice((b"", b"{", b'{"', b"\xef\xbb\xbf", b"\x1f\x8b", b"[" * 2000)) + body

    def _packed(self, body: bytes) -> bytes:
        """Return a body gzipped, well or not."""
        source = self._random
        packed = bytearray(gzip.compress(body, 1, mtime=0))
        change = source.randrange(12)
        if change == 0:
            del packed[source.randrange(len(packed)) :]
        elif change == 1:
            packed[source.randrange(len(packed))] ^= 1 << source.randrange(8)
        elif change == 2:  # noqa: PLR2004 and so on
            packed += source.choice((b"\0", b"x", bytes(packed)))
        elif change == 3:  # noqa: PLR2004
            packed[-8:] = struct.pack("<II", source.getrandbits(32), source.getrandbits(32))
        elif change == 4:  # noqa: PLR2004
            packed = bytearray(zlib.compress(body))
        elif change == 5 and source.random() < 0.002:  # noqa: PLR2004 bombs are dear
            packed = bytearray(gzip.compress(b" " * (17 << 20), 9, mtime=0))
        return bytes(packed)

    def _place(self, raw: Any) -> tuple[Any, Any]:
        """Return a place somewhere in JSON: what holds it, and its key or index."""
        holder = raw
        while True:
            key = self._random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            inner = holder[key]
            if not isinstance(inner, dict | list) or not inner or self._random.random() < 0.15:  # noqa: PLR2004
                return holder, key
            holder = inner

    def _table(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Return an object somewhere in JSON."""
        holder, _ = self._place(raw)
        return holder if isinstance(holder, dict) else raw

"""Values of tests as text: parameters and arguments of markers, without a call of any code of theirs.

`str()` of a parameter may record the call, fail, exit or take minutes. So only types whose text Python itself makes are
written out; of everything else it is said what it is.
"""

from __future__ import annotations

import sys
from enum import Enum, EnumMeta, Flag
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Characters of a value that go along, before it is redacted and cut.
MAX_VALUE: Final = 4096

#: Containers of more members than this are not written out to be cut.
MAX_MEMBERS: Final = 200

#: Members that are written of such a container.
_SHOWN: Final = 10

#: How deep containers are written out.
_MAX_DEPTH: Final = 5

#: Bits of an integer that is written with decimals: of a longer one that takes long, and Python may refuse it.
_MAX_DECIMAL_BITS: Final = 2048

#: Bits of an integer that is written at all.
_MAX_BITS: Final = 4 * MAX_VALUE

#: Types of the standard library that make their text without asking anybody, by their module.
_OWN_TEXT: Final[Mapping[str, tuple[str, ...]]] = {
    "builtins": ("bool", "complex", "NoneType", "range", "ellipsis", "NotImplementedType"),
    "datetime": ("date", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "ipaddress": ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network"),
    "pathlib": ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath"),
    "re": ("Pattern",),
    "uuid": ("UUID",),
    "zoneinfo": ("ZoneInfo",),
}

_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}

_OPENED: Final = (list, tuple, dict, set, frozenset)

#: How Python's own types make their text.
_PLAIN: Final = (int.__repr__, str.__str__, str.__repr__, float.__repr__)


def text_of(value: object) -> str:
    """Return a value as `str` has it, if its type is one of Python's own; bounded."""
    if type(value) is str:
        return value[:MAX_VALUE]
    return _text(value, 0, plain=True)[:MAX_VALUE]


def lines_of(value: object) -> str:
    """Return a value; of a list its members, one on each line."""
    if type(value) in {list, tuple} and len(cast("list[object]", value)) <= MAX_MEMBERS:
        return "\n".join(map(text_of, cast("list[object]", value)))
    return text_of(value)


def _text(value: Any, depth: int, *, plain: bool = False) -> str:  # noqa: PLR0911 one for each kind of types
    """Return what `str` (`plain`) or `repr` says of a value."""
    kind = type(value)
    if issubclass(type(kind), EnumMeta):
        return _member(value, kind, depth, plain=plain)
    if _is_among(kind, _OPENED):
        return _container(value, kind, depth)
    if issubclass(kind, str):
        text = str.__str__(value)[:MAX_VALUE]
        return text if plain else repr(text)
    if kind is bool or value is None:
        return repr(value)
    if issubclass(kind, int):
        return _integer(int.__index__(value))
    if issubclass(kind, float):
        return float.__repr__(value)
    if issubclass(kind, bytes | bytearray):
        return repr(bytes(memoryview(value)[:MAX_VALUE]))
    return _other(value, kind, depth, plain=plain)


def _other(value: Any, kind: type, depth: int, *, plain: bool) -> str:
    if _is_known(value, kind):
        return str(value) if plain else repr(value)
    fields = _fields(value, kind)
    if fields is not None:
        inside = ", ".join(f"{name}={_deeper(member, depth)}" for name, member in fields[:MAX_MEMBERS])
        return f"{kind.__qualname__}({inside})"
    if _is_among(kind, (FunctionType, BuiltinFunctionType)):
        return f"<function {value.__qualname__}>"
    if issubclass(kind, type):
        return _class(value, kind)
    if _is_plain_error(value, kind):
        return str(value) if plain else repr(value)
    return object.__repr__(value)


def _class(value: type, kind: type) -> str:
    if kind is not EnumMeta:
        return f"<class '{_name(value)}'>"
    what = "flag" if Flag in type.mro(value) else "enum"
    return f"<{what} {type.__dict__['__name__'].__get__(value)!r}>"


def _is_among(one: Any, many: tuple[Any, ...]) -> bool:
    """Tell whether something is one of these, without asking a metaclass what is equal."""
    return any(one is other for other in many)


def _is_known(value: Any, kind: type) -> bool:
    """Tell whether a type of the standard library, and nobody else, makes the text."""
    if type(kind) is not type:
        return False
    module, name = kind.__module__, kind.__qualname__
    if not isinstance(module, str):
        return False
    if module == "datetime" and name in {"datetime", "time"}:
        return _is(kind, module, name) and (value.tzinfo is None or _is_known(value.tzinfo, type(value.tzinfo)))
    if module == "pathlib._local":
        module = "pathlib"
    if name not in _OWN_TEXT.get(module, ()):
        return False
    return _is(kind, module, name) or _is_among(kind, (type(None), type(...), type(NotImplemented)))


def _is(kind: type, module: str, name: str) -> bool:
    """Tell whether a class is the one of this name: any class may call itself so."""
    return vars(sys.modules.get(module, sys)).get(name) is kind


def _member(value: Any, kind: type, depth: int, *, plain: bool) -> str:
    """Return a member of an enumeration as `Enum` itself does; where others make its text, only its name."""
    own = vars(value)
    if plain and _is_among(_inherited(kind, "__str__"), _PLAIN):
        return _text(own.get("_value_"), depth, plain=True)
    name = own.get("_name_")
    label = f"{kind.__name__}.{name if type(name) is str else '?'}"
    named = plain or not _is_among(_inherited(kind, "__repr__"), (Enum.__repr__, Flag.__repr__))
    if named or not _is_among(_inherited(kind, "_value_repr_"), (None, *_PLAIN)):
        return label
    return f"<{label}: {_deeper(own.get('_value_'), depth)}>"


def _inherited(kind: type, name: str) -> Any:
    """Return what a class has or inherits, whatever its metaclass says; None for nothing."""
    try:
        return type.__getattribute__(kind, name)
    except AttributeError:
        return None


def _container(value: Any, kind: type, depth: int) -> str:
    shown = MAX_MEMBERS if len(value) <= MAX_MEMBERS else _SHOWN
    members: Iterable[str]
    if kind is dict:
        pairs = [pair for pair, _ in zip(value.items(), range(shown), strict=False)]
        members, (begin, end) = [f"{_deeper(key, depth)}: {_deeper(one, depth)}" for key, one in pairs], ("{", "}")
    else:
        members = [_deeper(one, depth) for one, _ in zip(value, range(shown), strict=False)]
        begin, end = _BRACKETS[kind]
        if not value and kind in {set, frozenset}:
            return f"{kind.__name__}()"
    inside = ", ".join([*members, *(["..."] if len(value) > shown else [])])
    return f"{begin}{inside}{',' if kind is tuple and len(value) == 1 else ''}{end}"


def _deeper(value: Any, depth: int) -> str:
    return _text(value, depth + 1) if depth < _MAX_DEPTH else "..."


def _fields(value: Any, kind: type) -> list[tuple[str, Any]] | None:
    """Return names and values of a named tuple or a dataclass; None for what is neither."""
    if issubclass(kind, tuple):
        names = vars(kind).get("_fields")
        return list(zip(names, tuple.__iter__(value), strict=False)) if isinstance(names, tuple) else None
    fields = vars(kind).get("__dataclass_fields__")
    if not isinstance(fields, dict):
        return None
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return [(name, own[name]) for name, field in fields.items() if field.repr and name in own]


def _integer(value: int) -> str:
    bits = value.bit_length()
    if bits <= _MAX_DECIMAL_BITS:
        return repr(value)
    return hex(value) if bits <= _MAX_BITS else f"<an integer of {bits} bits>"


def _is_plain_error(value: Any, kind: type) -> bool:
    """Tell whether it is an exception of Python's own that only says plain values."""
    if not issubclass(kind, BaseException) or type(kind) is not type or kind.__module__ != "builtins":
        return False
    return all(_is_among(type(one), (str, int, type(None))) for one in (*value.args, *vars(value).values()))


def _name(kind: type) -> str:
    """Return module and name of a class, whatever its metaclass says."""
    module, name = (type.__dict__[part].__get__(kind) for part in ("__module__", "__qualname__"))
    return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else str.__str__(name)

"""Attached files: their content goes along when it is small and the project's own, else only where they are."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import files

if TYPE_CHECKING:
    from testbus_producers.report_files.records import How

#: How addresses begin.
_WEB: Final = ("https://", "http://")

#: Bound in characters of an address.
_MAX_URL: Final = 2048


def is_address(target: str) -> bool:
    """Tell whether an attachment is somewhere on the web."""
    return target.lower().startswith(_WEB)


def artifact(target: str, how: How, folder: Path, *, node_id: str | None, attempt: int = 1) -> dict[str, Any]:
    """Return the data of `artifact.recorded` for a path or an address.

    A path is looked for beside the report, which is in `folder`, and in the project; a file elsewhere is only named: a
    report must not be able to publish whatever this machine can read.
    """
    data: dict[str, Any] = {"node_id": node_id, "attempt": attempt}
    if is_address(target):
        name = target.partition("?")[0].rstrip("/").rpartition("/")[2]
        return data | {
            "name": name[: files.MAX_NAME] or "link",
            "media_type": files.kind_of(name),
            "url": target[:_MAX_URL],
        }
    name = Path(target.replace("\\", "/")).name
    data |= {
        "name": name[: files.MAX_NAME] or "file",
        "media_type": files.kind_of(name),
        "path": target[: files.MAX_PATH],
    }
    found = _found(target, how, folder)
    if found is None:
        return data
    if found.is_relative_to(how.root):
        data["path"] = files.shown(found, how.root)
    content = _content(found)
    if content is not None:
        data["content"] = base64.b64encode(files.redacted(content, data["media_type"], how.redact)).decode()
    return data


def _found(target: str, how: How, folder: Path) -> Path | None:
    """Return the file that is meant, wherever its links lead; None when it is not there or not the project's."""
    inside = (how.root.resolve(), folder.resolve())
    for base in (folder, how.root):
        try:
            path = (base / target).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            continue
        if path.is_file() and any(path.is_relative_to(one) for one in inside):
            return path
    return None


def _content(path: Path) -> bytes | None:
    """Return what is in a file; None when it is too large or cannot be read."""
    try:
        return files.read(path)
    except OSError:
        return None

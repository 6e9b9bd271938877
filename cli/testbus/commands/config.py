"""`testbus config`: writes, shows and validates the configuration."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option


@click.group()
def config() -> None:
    """Write, show and validate the configuration."""


@config.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("testbus.yaml"))
def init(path: Path) -> None:
    """Write a commented configuration to PATH (default: testbus.yaml); an existing file is left alone."""
    if path.exists():
        raise CliError(f"{path} exists already: name another file, or edit it and run `testbus config validate`")
    try:
        path.write_text(files("testbus").joinpath("testbus.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror or error}") from None
    click.echo(f"{path} written; next: testbus config validate {path}")


@config.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@json_option
def validate(path: Path | None, *, as_json: bool) -> int:
    """Check PATH (default: the one in force): every key of every section; secrets are not read.

    Exits 2 and prints every fault at once, each with file, line, key and what is allowed there.
    """
    from testbus_consumers import registry, settings  # noqa: PLC0415 for the help nothing is imported

    path = path or settings.config_path()
    running, faults = registry.validated(path)
    if as_json:
        shown = [{"line": one.line, "key": one.key, "text": one.text} for one in faults]
        file = str(path) if path else None
        echo_json({"valid": not faults, "file": file, "faults": shown, "runs": [one.label for one in running]})
    elif faults:
        for fault in faults:
            click.echo(f"testbus: {fault}", err=True)
    else:
        click.echo(f"{path or 'defaults'}: valid; consumers: {', '.join(one.label for one in running)}")
    return Exit.USAGE if faults else Exit.OK


@config.command()
@json_option
def show(*, as_json: bool) -> None:
    """Print the configuration in force, with every default; secrets only as references."""
    import yaml  # noqa: PLC0415 for the help nothing is imported

    from testbus_consumers import registry, settings  # noqa: PLC0415 the same

    configured = settings.load()
    shown: dict[str, Any] = configured.model_dump(mode="json", exclude={"consumers"}) | {"consumers": {}}
    for one in registry.instances(configured):
        own = one.settings.model_dump(mode="json")
        if one.target is None:
            shown["consumers"][one.label] = own
        else:
            shown["consumers"].setdefault(one.consumer.name, {"targets": {}})["targets"][one.target] = own
    if as_json:
        echo_json(shown)
    else:
        click.echo(f"# {settings.config_path() or 'no file: defaults'}")
        click.echo(yaml.safe_dump(shown, sort_keys=False), nl=False)

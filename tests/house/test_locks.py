"""The locks hold all that is asked for, with its extras; pips old and new install them."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _pytest.mark import ParameterSet

ROOT = Path(__file__).parents[2]

LOCKS = ROOT / "requirements"

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: The oldest pip that somebody may have with each Python: Debian 12's, and those that 3.12.0 and 3.13.0 brought.
OLDEST = {"3.11": "23.0.1", "3.12": "23.2.1", "3.13": "24.2"}

#: The Python that runs the tests.
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Systems that the locks are for, as markers name them.
SYSTEMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
]

#: The same with Pythons. 3.11.2 is Debian 12's; before 3.11.3 redis wants async-timeout.
ENVIRONMENTS = [
    {"python_version": version.rpartition(".")[0], "python_full_version": version, **system}
    for version, system in itertools.product(("3.11.2", "3.11.9", "3.12.0", "3.13.0"), SYSTEMS)
]


class Locked(NamedTuple):
    """A package of a lock: what the line says before its hashes, and these."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def version(self) -> str:
        """The version that it is pinned to."""
        (pin,) = self.requirement.specifier
        return pin.version


class Wanted(NamedTuple):
    """A requirement, and whose it is."""

    requirement: Requirement
    by: str


def lines(text: str) -> Iterator[str]:
    """Yield a lock's logical lines, without comments."""
    joined = re.sub(r"\\\n", "", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    yield from (line for line in joined.splitlines() if line.strip())


def parse(text: str) -> dict[str, Locked]:
    """Return what is locked, by its name."""
    found: dict[str, Locked] = {}
    for line in lines(text):
        requirement, *hashes = re.split(r"\s+--hash=", line)
        locked = Locked(Requirement(requirement), frozenset(one.strip() for one in hashes))
        found[canonicalize_name(locked.requirement.name)] = locked
    return found


def read(name: str) -> str:
    """Return a lock's text."""
    return (LOCKS / f"{name}.txt").read_text(encoding="utf-8")


def project(*extras: str) -> Iterator[Wanted]:
    """Yield what pyproject.toml asks for, and what its extras do, those that an extra names among them."""
    for text in PROJECT["project"]["dependencies"]:
        yield Wanted(Requirement(text), "pyproject.toml")
    rest = list(extras)
    while rest:
        for text in PROJECT["project"]["optional-dependencies"][rest.pop()]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["project"]["name"]:
                rest += requirement.extras
            else:
                yield Wanted(requirement, "pyproject.toml")


def group(name: str) -> Iterator[Wanted]:
    """Yield what a group of pyproject.toml asks for, with the groups that it includes."""
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, str):
            yield Wanted(Requirement(entry), "pyproject.toml")
        else:
            yield from group(entry["include-group"])


def source(name: str) -> Iterator[Wanted]:
    """Yield what a file of sources asks for."""
    for line in lines((LOCKS / f"{name}.in").read_text(encoding="utf-8")):
        yield Wanted(Requirement(line), f"{name}.in")


def backend() -> Iterator[Wanted]:
    """Yield what a build asks for."""
    yield from source("build")
    yield from (Wanted(Requirement(text), "[build-system]") for text in PROJECT["build-system"]["requires"])


#: Each lock that the development environment can judge, and what it is made of.
ASKED = {
    "dev": [*project("all"), *group("dev"), *backend()],
    "runtime": list(project("all")),
    "build": list(backend()),
}


def applies(requirement: Requirement, environment: dict[str, str], extras: Iterable[str] = ()) -> bool:
    """Tell whether a requirement counts in an environment, for a package with these extras."""
    return requirement.marker is None or any(
        requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
    )


@cache
def requires(name: str) -> list[Wanted]:
    """Return what a package's own metadata asks for; nothing where this machine, for which it is not, lacks it."""
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []
    return [Wanted(Requirement(text), f"{name} {distribution.version}") for text in distribution.requires or ()]


def missing(lock: dict[str, Locked], wanted: Wanted, environment: dict[str, str]) -> str:
    """Say why pip would not take a requirement for one that is locked; nothing where it would."""
    asked = Requirement(str(wanted.requirement))
    asked.marker = None
    locked = lock.get(canonicalize_name(asked.name))
    if locked is None or not applies(locked.requirement, environment):
        return f"{wanted.by} asks for {asked}, which is not locked"
    if not asked.extras <= locked.requirement.extras or locked.version not in asked.specifier:
        return f"{wanted.by} asks for {asked}, but {str(locked.requirement).partition(';')[0].strip()} is locked"
    return ""


def problems(lock: dict[str, Locked], asked: Iterable[Wanted]) -> list[str]:
    """Return what is asked for, by pyproject.toml or by what is locked, and not in the lock: in any environment."""
    found = set()
    for changed in ENVIRONMENTS:
        environment = {**{key: str(value) for key, value in default_environment().items()}, **changed}
        here = [one for one in lock.values() if applies(one.requirement, environment)]
        everything = [one for one in asked if applies(one.requirement, environment)]
        everything += [
            wanted
            for one in here
            for wanted in requires(one.requirement.name)
            if applies(wanted.requirement, environment, one.requirement.extras)
        ]
        found |= {missing(lock, wanted, environment) for wanted in everything}
    return sorted(found - {""})


@pytest.mark.parametrize("name", [*ASKED, "audit"])
def test_everything_is_pinned_and_has_hashes(name: str) -> None:
    """A lock has packages, each with one version and the hashes of its files, and nothing else."""
    for line in lines(read(name)):
        assert re.fullmatch(
            r"[a-z0-9._-]+(\[[a-z0-9,._-]+\])?==[^\s;*]+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line
        )


@pytest.mark.parametrize("name", ASKED)
def test_everything_that_is_asked_for_is_locked(name: str) -> None:
    """No pip finds a requirement, an extra or a version that the lock does not have, on any system or Python."""
    assert problems(parse(read(name)), ASKED[name]) == []


def test_what_the_lock_is_judged_by_is_installed() -> None:
    """The metadata that are read are those of the locked versions; `make` brings them."""
    lock = parse(read("dev"))
    environment = {key: str(value) for key, value in default_environment().items()}
    here = {name: one.version for name, one in lock.items() if applies(one.requirement, environment)}
    assert {name: metadata.version(name) for name in here} == here


def test_a_lock_without_extras_is_noticed() -> None:
    """Old pips refused such a lock as soon as there was a newer coverage: pytest-cov asks for `coverage[toml]`."""
    stripped = re.sub(r"^([\w.-]+)\[[\w,-]+\]==", r"\1==", read("runtime"), flags=re.MULTILINE)
    found = problems(parse(stripped), ASKED["runtime"])
    (line,) = [one for one in found if "coverage[toml]" in one]
    assert re.fullmatch(r"pytest-cov \S+ asks for coverage\[toml\]\S+, but coverage==\S+ is locked", line)


def test_a_lock_that_lacks_a_package_or_has_another_version_is_noticed() -> None:
    """Both are named, with who asks; so is what only Windows needs."""
    lock = parse(read("runtime"))
    colorama = lock.pop("colorama")
    without = problems(lock, ASKED["runtime"])
    assert any(re.fullmatch(r"pytest \S+ asks for colorama\S*, which is not locked", one) for one in without)
    lock["colorama"] = colorama
    lock["pika"] = Locked(Requirement("pika==0.1"), lock["pika"].hashes)
    (line,) = problems(lock, ASKED["runtime"])
    assert line.startswith("pyproject.toml asks for pika")
    assert line.endswith("but pika==0.1 is locked")


@pytest.mark.parametrize("name", ["runtime", "build"])
def test_the_locks_agree(name: str) -> None:
    """What is tested is what is installed: versions, extras, markers and hashes are the development lock's."""
    tested = parse(read("dev"))
    for package, locked in parse(read(name)).items():
        assert (tested[package].version, tested[package].hashes) == (locked.version, locked.hashes)
        assert tested[package].requirement.extras >= locked.requirement.extras


def interpreter(version: str) -> str:
    """Return the Python of a version, from PATH or pyenv; skip without one."""
    if version == RUNNING:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        # pyenv's own commands on PATH may be there and know no Python of the version.
        said = subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False)
        if said.returncode == 0:
            return candidate
    pytest.skip(f"no Python {version} on PATH or in pyenv")


@pytest.fixture
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give the Python of an environment with nothing in it but a pip: those of a Python and pip that the test names."""
    version, pip = request.param
    python = tmp_path / "venv" / "bin" / "python"
    # Without pip at first: Debian's Python cannot bring one, and it would be another.
    subprocess.run([interpreter(version), "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--retries", "1", "--quiet", pip]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution" in said.stderr and not os.environ.get("CI"):
        pytest.skip(f"no package index within reach to get {pip} from")
    assert said.returncode == 0, said.stderr
    return python


def combinations(locks: str) -> list[ParameterSet]:
    """Return each Python with its oldest and the newest pip; all but the running one's are for the night."""
    found = []
    for version in sorted({*OLDEST, RUNNING}):
        pips = ["pip"] if version not in OLDEST else [f"pip=={OLDEST[version]}", "pip"]
        marks = [] if version == RUNNING and "dev" not in locks else [pytest.mark.nightly]
        found += [
            pytest.param((version, pip), locks.split(), marks=marks, id=f"{version}-{pip}-{locks}") for pip in pips
        ]
    return found


def installs(python: Path, locks: list[str], *options: str) -> None:
    """Have pip say that it would install the locks, as wheels with these hashes only."""
    files = [part for name in locks for part in ("-r", str(LOCKS / f"{name}.txt"))]
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    said = subprocess.run([*command, *options, *files], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "locks"), [*combinations("build runtime"), *combinations("dev")], indirect=["environment"]
)
def test_pip_finds_nothing_that_is_not_locked(environment: Path, locks: list[str]) -> None:
    """Pip resolves the locks by itself and is content: `pip install --require-hashes -r` works, not only make's way."""
    installs(environment, locks)


@pytest.mark.nightly
@pytest.mark.parametrize(("environment", "locks"), combinations("build runtime"), indirect=["environment"])
def test_makes_way_works(environment: Path, locks: list[str]) -> None:
    """Every lock is complete for every Python: there is a wheel of each package, with a hash that is locked."""
    installs(environment, locks, "--no-deps")

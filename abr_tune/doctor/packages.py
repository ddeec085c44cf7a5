"""Python, the packages abr-tune stands on, and SQLite: are they those it was made for."""

from __future__ import annotations

import platform
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from abr_tune.doctor.finding import Finding, Place, note, ok, problem

NAMED: Final = ("torch", "ray", "optuna")
"""Packages whose versions are said also when all is well."""
EXTRAS: Final[Mapping[str, str]] = {
    "postgresql": "a study in PostgreSQL, which several drivers share",
    "sounds": "the task that reads sounds",
    "images": "the task that reads images",
    "timm": "other backbones for images",
    "benchmarks": "measuring against published tables",
    "test": "abr-tune's own tests",
}
"""Extra -> what it is for."""
WAL_IS_SAFE: Final = (3, 51, 3)
"""SQLite from which on its write-ahead log loses nothing; studies use a rollback journal, which never did."""


def python(_place: Place) -> Iterator[Finding]:
    """The version of Python."""
    wanted, have = asked_for().python, platform.python_version()
    if SpecifierSet(wanted).contains(have, prereleases=True):
        yield ok(f"{have}, {wanted} is wanted")
    else:
        yield problem(f"{have}, but {wanted} is wanted", "make an environment with another Python")


def packages(_place: Place) -> Iterator[Finding]:
    """The packages that are always needed."""
    needed = list(wanted_by(""))
    wrong = {str(requirement): what for requirement in needed if (what := misfit(requirement)) is not None}
    for wanted, what in wrong.items():
        yield problem(what, f"python -m pip install '{wanted.partition(';')[0].strip()}'")
    if not wrong:
        named = ", ".join(f"{name} {version(name)}" for name in NAMED)
        yield ok(f"all {len(needed)} as they should be: {named}")


def extras(_place: Place) -> Iterator[Finding]:
    """The packages that are needed for something."""
    lacking = {name: list(filter(None, map(misfit, wanted_by(name)))) for name in EXTRAS}
    for name, for_what in EXTRAS.items():
        if not lacking[name]:
            yield ok(f"{name}, for {for_what}: installed")
        else:
            yield note(f"{name}, for {for_what}: {lacking[name][0]}", f"python -m pip install 'abr-tune[{name}]'")


def sqlite(_place: Place) -> Iterator[Finding]:
    """The SQLite that Python was built with."""
    have = sqlite3.sqlite_version
    if sqlite3.threadsafety == 0:
        yield problem(f"{have}, built without thread safety", "use a Python with an ordinary SQLite")
    elif sqlite3.sqlite_version_info < WAL_IS_SAFE:
        yield ok(f"{have}: safe with a rollback journal, which studies use (a write-ahead log is not)")
    else:
        yield ok(f"{have}: safe")


def wanted_by(extra: str) -> Iterator[Requirement]:
    """What abr-tune asks for on this system: for an extra, or, where that is empty, always."""
    declared = asked_for()
    for text in declared.extras.get(extra, ()) if extra else declared.always:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


@dataclass(frozen=True, slots=True)
class Asked:
    """What abr-tune asks of its environment, as requirements in words."""

    python: str
    always: Sequence[str]
    extras: Mapping[str, Sequence[str]]


def asked_for() -> Asked:
    """What the checkout's pyproject.toml says; installed, what was installed says.

    A checkout may be newer than what pip noted when it was installed from it.
    """
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        said = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if said.get("name") == "abr-tune":
            return Asked(said["requires-python"], said["dependencies"], said.get("optional-dependencies", {}))
    about, texts = metadata("abr-tune"), requires("abr-tune") or []
    extras = {
        name: [text for text in texts if not _asked(text, "") and _asked(text, name)]
        for name in about.get_all("Provides-Extra") or ()
    }
    return Asked(about["Requires-Python"], [text for text in texts if _asked(text, "")], extras)


def _asked(text: str, extra: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate({"extra": extra})


def misfit(requirement: Requirement) -> str | None:
    """What is wrong with the installed package that a requirement names; None when nothing is."""
    try:
        have = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(have, prereleases=True):
        return None
    return f"{requirement.name} {have} is installed, but {requirement.specifier} is wanted"

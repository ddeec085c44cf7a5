"""`environment.json`: what a run was made with."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from abr_tune import environment

ROOT = Path(__file__).parents[1]


def test_versions_are_those_installed() -> None:
    found = environment.versions()
    assert found["python"] == platform.python_version()
    for library in ("torch", "ray", "optuna", "pydantic"):
        assert found[library] == version(library)


def test_the_commit_is_the_one_checked_out() -> None:
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    if not head:
        pytest.skip("not a checkout")
    found = environment.commit()
    assert found is not None
    assert head.startswith(found.removesuffix("-dirty"))
    assert len(found.removesuffix("-dirty")) == 12


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.commit() is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are bound on Linux only")
def test_cores_are_those_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert environment.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert environment.cores() == len(before)


def test_cards_are_named_by_their_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "CARDS", tmp_path)
    assert environment.cards() == []
    assert "cards" not in environment.machine()
    for place in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 130\n")
    (tmp_path / "0000:03:00.0").mkdir()
    assert environment.machine()["cards"] == ["NVIDIA H200", "NVIDIA H200"]

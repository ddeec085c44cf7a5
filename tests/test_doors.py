"""The battery's doors in a few seconds: what strangers make runs nowhere, in a browser or out of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from abr_tune.annotate import annotate
from abr_tune.dashboard import open_server
from abr_tune.report.write import write_report
from abr_tune.runs import RunFolder
from benchmarks.battery import doors
from benchmarks.battery.browser import CHROMIUM, Elements, running, stranger, visit
from benchmarks.battery.hostile import hostile_run, hostile_study, tricks
from benchmarks.battery.strangers import GONE_ON_FROM, ROOT, STRANGE, Marks, plain_run, watched

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def test_the_row_of_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "REQUESTS", len(doors.ODD))
    row = doors._requests(tmp_path)
    assert row.kept, row.happened
    assert row.times == len(doors.ODD)


def test_a_dashboard_without_its_guard_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abr_tune.dashboard.guarded", lambda app, **_how: app)
    monkeypatch.setattr(doors, "REQUESTS", len(doors.ODD))
    row = doors._requests(tmp_path)
    assert not row.kept
    assert "study CHANGED" in row.happened


@pytest.mark.slow
@in_a_browser
def test_a_page_of_another_site_can_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch, form, beacon, frame, image, script and socket at a dashboard that may be edited."""
    monkeypatch.setattr(doors, "SITES", doors.SITES[:1])
    row = doors._pages(tmp_path)
    assert row.kept, row.happened
    assert row.times > 40


@pytest.mark.slow
@in_a_browser
def test_hostile_names_in_the_report_and_the_dashboard(tmp_path: Path) -> None:
    with stranger() as site:
        text = tricks(site.port)
        ours = hostile_run(tmp_path / "hostile", text)
        annotate(ours)
        visited = [(visit(write_report(ours).as_uri()), "hostile · abr-tune", "")]
        for run in (ours, hostile_study(tmp_path / "by-hand", text, site.port)):
            server, address = open_server(run, port=0)
            with server, running(server.serve_forever, server.shutdown):
                own = f"127.0.0.1:{server.server_port}"
                visited.append((visit(f"{address}/note", seconds=4), "Optuna Dashboard", own))
        for page, title, own in visited:
            assert Elements(page.dom).title == title
            assert "owned" in page.dom, "the text is shown"
            assert doors._harm(page, title, own, site) == []


def test_names_in_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "COMMANDS", ("ls", "show", "trials", "validate"))
    row = doors._terminal(tmp_path)
    assert row.kept, row.happened


CARRYING = {
    "pickles in the study": ("show", "trials", "report"),
    "YAML tags": ("report", "evaluate"),
    "a task of one's own": ("report", "evaluate"),
    "a pickle for recordings": ("evaluate",),
}


def test_folders_of_strangers_run_nothing_and_lead_nowhere(tmp_path: Path) -> None:
    """Those that carry code: pickles in the study, YAML tags, a task and recordings of their own, wherever they lie."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine", encoding="utf-8")
    commands, plain = [], plain_run(tmp_path / "results" / "plain")
    for index, (kind, words) in enumerate(CARRYING.items()):
        run = RunFolder(tmp_path / "results" / f"given{index}")
        shutil.copytree(plain, run.path)
        STRANGE[kind](run, outside)
        commands += [[word, run.name, "--out", str(run.path.parent)] for word in words]
        if kind != "pickles in the study":
            commands.append(["train", str(run.best_config), "--out", str(tmp_path / "trained")])
    told = watched(tmp_path, outside, commands)
    assert len(told) == len(commands)
    assert [each for each in told if each["seen"] or each["code"] not in {0, 1, 2}] == []
    assert not (outside / "mark").exists()
    assert set(STRANGE) >= GONE_ON_FROM | set(CARRYING)


def test_what_goes_outside_is_noticed(tmp_path: Path) -> None:
    """The watch can see: a file read, a pickle opened and a program started outside of what is allowed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    space = outside / "space.yaml"
    space.write_text("name: x\n", encoding="utf-8")
    (told,) = watched(tmp_path, outside, [["validate", str(space)]])
    assert set(told["seen"]) == {f"open {space}"}
    assert told["code"] == 2


def test_workers_import_nothing_from_where_a_command_is_given(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for name in ("pydantic", "pyarrow", "abr_tune", "core", "torch", "sitecustomize", "hostile"):
        (tmp_path / f"{name}.py").write_text(f"{Marks(mark).python}\nraise ImportError('hostile')", encoding="utf-8")
    code = f"""
import sys
sys.path[0] = {str(ROOT)!r}
from abr_tune.plan.plan import Resources
from abr_tune.search.launch import Cluster
with Cluster(jobs=1, resources=Resources()) as cluster:
    cluster._ready.wait(60)
    cluster._refuse_fault()
    import json, ray
    @ray.remote
    def paths():
        import sys
        import abr_tune.errors, pydantic, pyarrow
        return sys.path
    print(json.dumps(ray.get(paths.remote())))
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    paths = json.loads(done.stdout.splitlines()[-1])
    assert str(ROOT) in paths
    assert str(tmp_path) not in paths
    assert "" not in paths
    assert not mark.exists()

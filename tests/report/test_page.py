"""The page: self-contained, escaped, whole for interrupted runs, and drawn by a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from abr_tune.errors import UserError
from abr_tune.report.figures import COLOURS, SYMBOLS
from abr_tune.report.outcomes import Outcome
from abr_tune.report.read import read_run
from abr_tune.report.write import write_report
from abr_tune.runs import write_json
from abr_tune.search.archive import read_records
from abr_tune.search.known import remember
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.report import EpochReport
from core.tasks.task import Objective
from tests.report.made import scores

METRIC = "val/class/f1_macro"
HOSTILE = """<img src=x onerror="document.title='owned'"></script><script>document.title='owned'</script>"""
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


def page_of(folder: Path) -> str:
    path = write_report(folder)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    """The page of the finished synthetic run."""
    return page_of(finished)


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    elements = Elements(page)
    attributes = {name for _, attributes in elements.found for name in attributes}
    assert not attributes & {"src", "href", "srcset", "action", "onclick", "onload", "onerror"}
    assert {tag for tag, _ in elements.found}.isdisjoint({"link", "iframe", "img", "object", "embed", "base", "form"})


def test_the_policy_allows_exactly_our_scripts(page: str) -> None:
    elements = Elements(page)
    policy = next(a["content"] for tag, a in elements.found if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    kinds = [attributes.get("type") for tag, attributes in elements.found if tag == "script"]
    code = [text for text, kind in zip(elements.scripts, kinds, strict=True) if kind is None]
    assert len(code) == 2
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code} == allowed
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_one_plotly_and_fixed_ids(page: str) -> None:
    elements = Elements(page)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = [attributes.get("data-figure") for tag, attributes in elements.found if tag == "script"]
    drawn = [name for name in figures if name]
    assert [name for name in drawn if not name.startswith("figure-slice-")] == [
        "figure-reliability",
        "figure-shares-0",
        "figure-shares-1",
        "figure-norms-0",
        "figure-norms-1",
        "figure-curves",
        "figure-history",
        "figure-ablation",
        "figure-importances",
        "figure-further-0",
        "figure-strands",
    ]
    assert "figure-slice-2" in drawn
    assert set(drawn) <= set(ids)
    assert sum(len(text) > 1_000_000 for text in elements.scripts) == 1
    for text, name in zip(elements.scripts, figures, strict=True):
        if name:
            assert json.loads(text)["data"], name
            assert "<" not in text, "nothing in it may look like the end of its element"


def test_the_page_says_what_a_reader_needs(page: str) -> None:
    for words in (
        "Simulated data (1500 to train",
        "gate: investigate",
        "Trained again with 3 fresh seeds",
        "collapsed baseline",
        "trial 0, stopped by class_collapse at epoch 5",
        "tree on static parameters",
        "above the always-majority score",
        "RuntimeError: worker killed",
        "versions.torch",
        "Finalists on fresh seeds",
        "Not in this report",
        "the search has one objective",
        "10 stopped trials that the audit let run to the end",
        "What each class is taken for",
        "Expected calibration error",
        "From defaults to trial",
        "What mattered for staying healthy",
    ):
        assert words in page, words


def test_every_outcome_can_be_drawn() -> None:
    assert set(COLOURS) == set(SYMBOLS) == set(get_args(Outcome))


def test_a_run_without_any_trial(new_run: Any) -> None:
    run = new_run("early")
    run.study.close()
    page = page_of(run.folder.path)
    assert "No trial has started." in page
    assert "not finished" in page
    assert len(page) < 30_000, "plotly.js is only there when there is something to draw"
    assert "script-src &#39;none&#39;" in page


def test_a_run_killed_before_its_study_was_made(new_run: Any) -> None:
    run = new_run("killed")
    run.study.close()
    run.folder.study.unlink()
    assert "No trial has started." in page_of(run.folder.path)


def test_a_run_that_was_interrupted(new_run: Any) -> None:
    run = new_run("interrupted")
    collapsed = run.start({"optimizer.lr": 1e-3})
    run.end(collapsed, [0.178] * 5, by="class_collapse", why="the majority's score")
    going = run.start({"optimizer.lr": 1e-4})
    run.train(going, [0.2, 0.3])
    run.study.interrupt({going: 2}, {})
    run.study.close()
    page = page_of(run.folder.path)
    assert "No trial has run to its end" in page
    assert "abr-tune run" in page
    assert "Importances need 20 trials" in page
    assert 'data-figure="figure-curves"' in page


def test_a_study_kept_elsewhere(new_run: Any, tmp_path: Path) -> None:
    run = new_run("elsewhere")
    run.end(run.start({"optimizer.lr": 1e-3}), [0.2, 0.3])
    run.study.close()
    storage = sqlite_url(run.folder.study.rename(tmp_path / "shared.db"))
    Study(storage, "another", (Objective(METRIC),)).close()
    run.folder.environment.write_text(json.dumps({"launch": {"storage": storage}}), encoding="utf-8")
    with pytest.raises(UserError, match="never named on this account with --storage"):
        read_run(run.folder.path)
    remember(storage)
    assert [record.value for record in read_run(run.folder.path).trials] == [0.3]
    assert [record.value for record in read_records(run.folder.path)] == [0.3]


def test_a_folder_that_was_renamed(new_run: Any, tmp_path: Path) -> None:
    run = new_run("before")
    run.end(run.start({"optimizer.lr": 1e-3}), [0.2, 0.3])
    run.study.close()
    assert [record.value for record in read_records(run.folder.path.rename(tmp_path / "after"))] == [0.3]


def test_a_folder_that_is_no_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no plan\.yaml"):
        write_report(tmp_path)


def test_torn_and_repeated_lines_of_a_history(new_run: Any) -> None:
    run = new_run("torn")
    number = run.start({"optimizer.lr": 1e-3})
    run.end(number, [0.2, 0.3])
    run.study.close()
    again = json.dumps(EpochReport(epoch=2, phase="all", metrics={METRIC: 0.35}).to_json())
    broken = json.dumps(EpochReport(epoch=3, phase="all", complete=False, evidence={"what": "loss"}).to_json())
    with (run.folder.trial(number) / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(f'{again}\n{broken}\n{{"epoch": 4, "pha')
    watched = read_run(run.folder.path).watched[number]
    assert [(report.epoch, report.metrics[METRIC]) for report in watched] == [(1, 0.2), (2, 0.35)]


@pytest.fixture
def hostile(new_run: Any) -> Path:
    """A run in which every text tries to be markup, the names of classes and gradients too."""
    run = new_run("hostile", about=HOSTILE)
    run.classes = (HOSTILE, "B")
    run.heads = (HOSTILE,)
    stopped = run.start({f"optimizer.{HOSTILE}": HOSTILE, "optimizer.lr": 1e-3}, HOSTILE)
    run.end(stopped, [0.2, 0.3], by=HOSTILE, why=HOSTILE)
    complete = run.start({f"optimizer.{HOSTILE}": HOSTILE, "optimizer.lr": 1e-4}, HOSTILE)
    run.end(complete, [0.3, 0.4])
    run.fail(run.start({}), HOSTILE)
    run.study.close()
    run.folder.best.mkdir()
    write_json(run.folder.best / "scores.json", scores(HOSTILE, "B"))
    gate = {
        "metric": HOSTILE,
        "go": HOSTILE,
        "investigate": HOSTILE,
        "value": 0.4,
        "result": "go",
        "why": HOSTILE,
        "by_epoch": HOSTILE,
        "next": [HOSTILE],
    }
    audit = {"rule": HOSTILE, "judged": 3, "false": 0, "share": 0.0, "interval": [0.0, 0.5], "above_baseline": None}
    summary = {
        "state": HOSTILE,
        "best": {"trial": complete, "value": 0.4},
        "gate": {"verdict": "go", "criteria": [gate]},
        "audit": {"rows": [audit]},
        "alarm": {"rule": HOSTILE, "why": HOSTILE},
    }
    write_json(run.folder.summary, summary)
    run.folder.space.write_text(HOSTILE, encoding="utf-8")
    run.folder.environment.write_text(json.dumps({HOSTILE: HOSTILE}), encoding="utf-8")
    return run.folder.path


def test_no_text_of_a_run_becomes_markup(hostile: Path) -> None:
    page = page_of(hostile)
    assert "<img" not in page
    assert page.count("</script>") == 2 + page.count("data-figure=")
    assert "&lt;img src=x onerror=" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.slow
def test_a_browser_draws_the_figures_and_runs_nothing_else(hostile: Path, tmp_path: Path) -> None:
    page = write_report(hostile)
    quiet = "--disable-gpu --disable-background-networking --disable-sync --disable-component-update --no-first-run"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert dom.count('class="main-svg"') >= 3, "every figure is drawn"
    assert "<title>hostile · abr-tune</title>" in dom
    assert "<img" not in dom
    assert 'data-title="Share' not in dom, "nothing offers to send the run to somebody"
    assert 'data-title="Zoom"' in dom

"""Doors: a dashboard attacked by pages and requests, names that try to be markup, and what strangers pass on."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from abr_tune.annotate import annotate
from abr_tune.dashboard import Server, guarded, open_server
from abr_tune.report.write import write_report
from abr_tune.search.storage import sqlite_url
from benchmarks.battery.browser import CHROMIUM, Elements, Stranger, Visit, running, stranger, visit
from benchmarks.battery.hostile import OBEYED, hostile_run, hostile_study, tricks
from benchmarks.battery.row import Row

SECRET: Final = "nobodys-business"
"""Name of the study that is attacked."""
REQUESTS: Final = 10_000
ABSENT: Final = "no Chromium on this machine"


def doors(folder: Path) -> Iterator[Row]:
    """All of them."""
    from benchmarks.battery.strangers import passed_on

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield _requests(folder / "requests")
    yield _pages(folder / "pages")
    yield _artifacts(folder / "artifacts")
    yield _report(folder / "report")
    yield _dashboard(folder / "dashboard")
    yield _terminal(folder / "terminal")
    yield from passed_on(folder / "strangers")


@dataclass
class Watched:
    """A server, and what it answered."""

    server: Server
    folder: Path
    answers: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    """What was asked, as WSGI tells it, and the status."""

    @property
    def port(self) -> int:
        return self.server.server_port

    @property
    def study(self) -> bytes:
        """The study as it lies on disk."""
        return (self.folder / "study.db").read_bytes()

    def let_through(self) -> list[str]:
        """Requests that others had a browser make, and that were answered all the same; links to a page may be."""
        return [
            f"{asked['REQUEST_METHOD']} {asked['PATH_INFO']}"
            for asked, status in self.answers
            if status < 400
            and asked.get("HTTP_SEC_FETCH_SITE") in {"cross-site", "same-site"}
            and asked.get("HTTP_SEC_FETCH_DEST") != "document"
        ]


@contextmanager
def _serving(folder: Path, *, allow_edit: bool, app: Callable[[Server], Any] | None = None) -> Iterator[Watched]:
    server, _ = open_server(folder, port=0, allow_edit=allow_edit)
    watched = Watched(server, folder)
    inner: Any = server.get_app() if app is None else app(server)

    def seen(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, *rest: Any) -> Any:
            watched.answers.append((environ, int(status[:3])))
            return start_response(status, *rest)

        return inner(environ, start)

    server.set_app(seen)
    with server, running(server.serve_forever, server.shutdown):
        yield watched


def _ask(port: int, lines: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{lines}\r\n\r\n".replace("PORT", str(port)).encode())
        with connection.makefile("rb") as answer:
            return answer.read()


ODD: Final = (
    *(f"GET /api/studies HTTP/1.1\r\nHost: {host}" for host in ("evil.example", "evil.example:PORT", "127.0.0.1")),
    *(
        f"GET /api/studies HTTP/1.1\r\nHost: {host}"
        for host in ("localhost.:PORT", "127.0.0.1:PORT@evil", "[::1]:PORT")
    ),
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nHost: evil.example",
    "GET /api/studies HTTP/1.0",
    "GET /api/studies",
    "GET http://evil.example/api/studies HTTP/1.1\r\nHost: 127.0.0.1:PORT",
    *(f"{verb} /api/studies/1 HTTP/1.1\r\nHost: 127.0.0.1:PORT" for verb in ("DELETE", "PUT", "PATCH", "OPTIONS")),
    *(f"{verb} /api/studies/1 HTTP/1.1\r\nHost: 127.0.0.1:PORT" for verb in ("POST", "TRACE", "CONNECT", "PROPFIND")),
    "GET /static/..%2f..%2f_app.py HTTP/1.1\r\nHost: 127.0.0.1:PORT",
    "GET /static//etc/passwd HTTP/1.1\r\nHost: 127.0.0.1:PORT",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: null",
)


def _requests(folder: Path) -> Row:
    run = hostile_run(folder / SECRET, "plain")
    told, asked = [], 0
    with _serving(run, allow_edit=False) as watched:
        before = watched.study
        for index in range(REQUESTS):
            lines = ODD[index % len(ODD)]
            answer = _ask(watched.port, lines)
            asked += 1
            if b" 200 " in answer[:20] or SECRET.encode() in answer or b"root:" in answer:
                told.append(lines)
        alive = b" 200 " in _ask(watched.port, "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:PORT")[:20]
        same = watched.study == before
    return Row(
        fault="requests with a foreign Host, odd methods and paths",
        times=asked,
        promised="refused, nothing told or written, the dashboard goes on",
        happened=f"{asked - len(told)} of {asked} refused, study {_same(same)},{'' if alive else ' NOT'} alive",
        holds=not told and same and alive,
    )


def _same(same: bool) -> str:
    return "unchanged" if same else "CHANGED"


CHANGES: Final = (
    ("DELETE", "/api/studies/1", "{}"),
    ("PUT", "/api/studies/1/note", '{"version": 9, "body": "owned"}'),
    ("POST", "/api/studies/1/rename", '{"study_name": "owned"}'),
    ("POST", "/api/trials/1/user-attrs", '{"user_attrs": {"owned": 1}}'),
    ("PATCH", "/api/studies/1", "{}"),
)
ATTACK: Final = """<!DOCTYPE html><title>a page of somebody else</title><body><script>
const there = "http://HOST:PORT", told = [], read = ["/api/studies", "/api/studies/1", "/csv/1", "/dashboard"];
const knows = (text) => { if (text.includes("SECRET")) told.push(text.slice(0, 40)); };
const frame = (url) => { const one = document.createElement("iframe"); one.src = url; document.body.append(one); };
async function attack() {
  for (const [method, path, body] of CHANGES) for (const mode of ["cors", "no-cors"]) {
    const kind = mode === "cors" ? { "Content-Type": "application/json" } : { "Content-Type": "text/plain" };
    try { knows(await (await fetch(there + path, { method, mode, body, headers: kind })).text()); } catch {}
    navigator.sendBeacon(there + path, body);
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: there + path, enctype: "text/plain", target: "sink" });
    const field = document.createElement("input");
    Object.assign(field, { name: body.slice(0, -1) + ', "x": "', value: '"}' });
    form.append(field); document.body.append(form); form.submit();
  }
  for (const path of read) {
    for (const mode of ["cors", "no-cors"])
      try { knows(await (await fetch(there + path, { mode, credentials: "include" })).text()); } catch {}
    const tags = [["img", "src"], ["script", "src"], ["object", "data"], ["embed", "src"], ["link", "href"]];
    for (const [tag, key] of tags) {
      const one = document.createElement(tag);
      if (tag === "link") one.rel = "stylesheet";
      one[key] = there + path; document.body.append(one);
    }
    frame(there + path);
  }
  const socket = new WebSocket(there.replace("http", "ws") + "/api/studies");
  socket.onopen = () => told.push("socket");
  new EventSource(there + "/api/studies").onmessage = (event) => knows(event.data);
  window.open(there + "/dashboard");
  await new Promise((done) => setTimeout(done, 1500));
  for (let place = 0; place < frames.length; place++) try { knows(frames[place].document.body.innerText); } catch {}
}
attack().finally(() => { document.title = "told: " + JSON.stringify(told); });
</script><iframe name="sink"></iframe></body>"""


SITES: Final = (("127.0.0.1", "evil.example"), ("localhost", "localhost"), ("rebound.example", "evil.example"))
"""What a page calls the dashboard, and where the page comes from: another site, another port of the same one."""


def _pages(folder: Path) -> Row:
    if CHROMIUM is None:
        return _absent("pages of other sites in Chromium: fetch, form, frame, beacon, image, script, WebSocket")
    arrived, through, told, changed, runs = 0, [], [], [], []
    for allow_edit in (False, True):
        run = hostile_run(folder / f"{allow_edit}" / SECRET, "plain")
        with stranger() as site, _serving(run, allow_edit=allow_edit) as watched:
            before = watched.study
            for there, here in SITES[: None if allow_edit else 1]:
                site.pages["/"] = (
                    ATTACK.replace("HOST:PORT", f"{there}:{watched.port}")
                    .replace("CHANGES", json.dumps(CHANGES))
                    .replace("SECRET", SECRET)
                )
                runs.append(Elements(visit(f"http://{here}:{site.port}/").dom).title)
            told += [title for title in runs if title != "told: []"]
            # The name of a site that resolves to the loopback all of a sudden: its pages are of one origin with it.
            rebound = _ask(watched.port, "GET /api/studies HTTP/1.1\r\nHost: rebound.example:PORT")
            told += ["rebound"] if SECRET.encode() in rebound else []
            arrived += len(watched.answers)
            through += watched.let_through()
            changed += [allow_edit] if watched.study != before else []
    return Row(
        fault="pages of other sites in Chromium: fetch, form, frame, beacon, image, script, WebSocket, rebinding",
        times=arrived,
        promised="nothing written or told, with --allow-edit too",
        happened=f"{arrived} requests, {len(through)} let through, {len(told)} told something, "
        f"study {_same(not changed)}",
        holds=not through and not told and not changed,
    )


def _absent(fault: str) -> Row:
    return Row(fault=fault, times=0, promised="nothing runs, is written or asked for", happened=ABSENT, holds=False)


TAKES_OVER: Final = """document.title = 'owned';
for (const [method, path, body] of CHANGES) fetch(path, {method, body, headers: {'Content-Type': 'application/json'}});
new Image().src = 'http://owned.example:PORT/artifact';"""


def _artifacts(folder: Path) -> Row:
    fault = "HTML and SVG artifacts opened in Chromium"
    if CHROMIUM is None:
        return _absent(fault)
    run = hostile_run(folder / SECRET, "plain")
    (folder / "store").mkdir()
    store = FileSystemArtifactStore(folder / "store")
    study = optuna.load_study(study_name=SECRET, storage=sqlite_url(run / "study.db"))
    visits: list[Visit] = []
    with stranger() as site:
        script = TAKES_OVER.replace("CHANGES", json.dumps(CHANGES)).replace("PORT", str(site.port))
        content = {
            "a.html": f"<title>mine</title><script>{script}</script>",
            "b.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><script><![CDATA[{script}]]></script></svg>',
            "c.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><script><![CDATA[{script}]]></script></html>',
            "d.txt": f"<script>{script}</script>",
        }
        kept = []
        for name, text in content.items():
            (folder / name).write_text(text, encoding="utf-8")
            kept.append(upload_artifact(study_or_trial=study, file_path=str(folder / name), artifact_store=store))

        def app(server: Server) -> Any:
            from optuna_dashboard import wsgi

            storage = optuna.storages.RDBStorage(sqlite_url(run / "study.db"))
            return guarded(wsgi(storage, artifact_store=store), port=server.server_port, allow_edit=True)

        with _serving(run, allow_edit=True, app=app) as watched:
            before = watched.study
            own = f"127.0.0.1:{watched.port}"
            visits += [visit(f"http://{own}/artifacts/1/{one}", seconds=3) for one in kept]
            same = watched.study == before
            shown = sum(status == 200 for asked, status in watched.answers if "/artifacts/" in asked["PATH_INFO"])
        away = [url for each in visits for url in each.elsewhere(own)] + site.heard
    ran = [each for each in visits if "owned" in Elements(each.dom).title]
    return Row(
        fault=fault,
        times=shown,
        promised="shown, but nothing in them runs",
        happened=f"{len(ran)} ran, {len(away)} requests elsewhere, study {_same(same)}",
        holds=not ran and not away and same,
    )


RUNS: Final = frozenset({"iframe", "object", "embed", "base"})


def _harm(visited: Visit, title: str, own: str, site: Stranger) -> list[str]:
    """What of a page's hostile text ran, was drawn as what it is not, or was asked for."""
    page = Elements(visited.dom)
    found = [f"title {page.title!r}"] if page.title != title else []
    for tag, attributes in page.found:
        href = (attributes.get("href") or "").strip().lower()
        refreshes = (attributes.get("http-equiv") or "").lower() == "refresh"
        handlers = [name for name in attributes if name.startswith("on")]
        if "data-owned" in attributes or tag in RUNS or refreshes or handlers or href.startswith("javascript:"):
            found.append(f"<{tag}> {sorted(attributes)}")
    return found + visited.elsewhere(own) + site.heard


def _report(folder: Path) -> Row:
    fault = "hostile names everywhere in a report, opened in Chromium"
    if CHROMIUM is None:
        return _absent(fault)
    with stranger() as site:
        text = tricks(site.port)
        page = write_report(hostile_run(folder / "hostile", text))
        visited = visit(page.as_uri())
        harm = _harm(visited, "hostile · abr-tune", "", site)
    drawn, times = visited.dom.count('class="main-svg"'), page.read_text(encoding="utf-8").count("owned")
    return Row(
        fault=fault,
        times=times,
        promised="nothing runs, no request, every figure drawn",
        happened=f"{len(harm)} ran or asked, {drawn} drawings",
        holds=not harm and drawn >= 10,
    )


PAGES: Final = ("", "/analytics", "/note", "/trials?numbers=1")


def _dashboard(folder: Path) -> Row:
    fault = "hostile names, notes and plots in the dashboard, in Chromium"
    if CHROMIUM is None:
        return _absent(fault)
    harm, shown = [], 0
    with stranger() as site:
        text = tricks(site.port)
        ours = hostile_run(folder / "hostile", text)
        annotate(ours)
        for run in (ours, hostile_study(folder / "by-hand", text, site.port)):
            with _serving(run, allow_edit=True) as watched:
                before = watched.study
                own = f"127.0.0.1:{watched.port}"
                for page in PAGES:
                    visited = visit(f"http://{own}/dashboard/studies/1{page}")
                    harm += _harm(visited, "Optuna Dashboard", own, site)
                    shown += "owned" in visited.dom
                harm += [] if watched.study == before else ["the study was changed"]
    return Row(
        fault=fault,
        times=shown,
        promised="nothing runs, no request elsewhere, nothing written",
        happened=f"{2 * len(PAGES)} pages, {len(harm)} ran, asked or wrote" + (f": {harm[0][:80]}" if harm else ""),
        holds=not harm,
    )


COMMANDS: Final = ("ls", "show", "trials", "gate", "export", "compare", "report", "stop", "validate", "train")
TOLD: Final = re.compile(rb"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\r(?!\r*\n)|\xc2[\x80-\x9f]")
"""What a terminal obeys, in UTF-8; our tables have colours, and a terminal ends lines with a carriage return."""
TURNING: Final = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
FAKED: Final = re.compile(rb"^INFO everything is fine", re.MULTILINE)


def _terminal(folder: Path) -> Row:
    run = hostile_run(folder / "hostile", " ".join(OBEYED))
    space = folder / "space.yaml"
    space.write_text(f"name: {json.dumps(' '.join(OBEYED))}\ntask: {json.dumps(OBEYED[0])}\n", encoding="utf-8")
    code = (
        "import sys\nfrom abr_tune.cli import main\nfor words in WORDS:\n  try: main(words)\n  except SystemExit: pass"
    )
    asked = []
    for word in COMMANDS:
        named = [str(space)] if word in {"validate", "train"} else [str(run)] * (2 if word == "compare" else 1)
        asked.append([word, *([] if word == "ls" else named), *([] if word == "validate" else ["--out", str(folder)])])
    told = in_terminal([sys.executable, "-c", code.replace("WORDS", repr(asked))])
    text = told.decode("utf-8", "replace")
    obeyed = len(TOLD.findall(told)) + len(TURNING.findall(text)) + len(FAKED.findall(told))
    shown = text.count("owned")
    return Row(
        fault="names and reasons with escapes, links, titles and turned letters in a terminal",
        times=shown,
        promised="shown, not obeyed; no line that is none of ours",
        happened=f"{len(asked)} commands, {obeyed} of {shown} obeyed",
        holds=not obeyed,
    )


def in_terminal(command: Sequence[str]) -> bytes:
    """What a command writes to a terminal that is its standard output and error."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as asked:
        os.close(theirs)
        told = b""
        while True:
            try:
                told += os.read(ours, 65536)
            except OSError:  # the terminal is closed when the command has ended
                break
    os.close(ours)
    assert asked.returncode in {0, 2}, told
    return told

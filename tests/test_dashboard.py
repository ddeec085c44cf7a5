"""The guard before Optuna's dashboard, with real requests to a real server on a real study."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from abr_tune.dashboard import DATA, PAGE, Server, guarded, open_server, without_formulas
from abr_tune.errors import UserError
from abr_tune.runs import RunFolder
from abr_tune.search.fidelity import Point
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.tasks.task import Objective


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    port: int

    def ask(
        self, method: str, path: str, *, host: str | None = None, body: str | None = None, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Host": host or f"127.0.0.1:{self.port}", "Accept-Encoding": "identity"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextmanager
def serving(server: Server) -> Iterator[Client]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Client(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def new_run(path: Path) -> Path:
    """A run folder with a study of one trial."""
    folder = RunFolder(path)
    folder.path.mkdir()
    folder.space.write_text("name: guarded\n", encoding="utf-8")
    study = Study(sqlite_url(folder.study), "guarded", (Objective("val/class/f1_macro"),))
    study.report(study.begin({}, {}, {}, "by hand"), Point(1, 1, (0.5,)))
    study.close()
    return folder.path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of the test's own."""
    return new_run(tmp_path / "guarded")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run no test may change."""
    return new_run(tmp_path_factory.mktemp("results") / "guarded")


@pytest.fixture(scope="module")
def client(untouched: Path) -> Iterator[Client]:
    """A read-only dashboard of the untouched run."""
    server, _ = open_server(untouched, port=0)
    with serving(server) as client:
        yield client


@pytest.fixture
def editor(run: Path) -> Iterator[Client]:
    server, _ = open_server(run, port=0, allow_edit=True)
    with serving(server) as client:
        yield client


def studies(run: Path) -> list[str]:
    return optuna.get_all_study_names(sqlite_url(RunFolder(run).study))


def test_the_dashboard_shows_the_study(client: Client) -> None:
    page = client.ask("GET", "/dashboard/studies/1")
    assert page.status == 200
    assert b"Optuna Dashboard" in page.body
    listed = json.loads(client.ask("GET", "/api/studies").body)["study_summaries"]
    assert [study["study_name"] for study in listed] == ["guarded"]
    trials = json.loads(client.ask("GET", "/api/studies/1").body)["trials"]
    assert [value["value"] for value in trials[0]["intermediate_values"]] == [0.5]


def test_it_listens_on_the_loopback_only(run: Path) -> None:
    server, address = open_server(run, port=0)
    with server:
        assert server.server_address[0] == "127.0.0.1"
        assert address == f"http://127.0.0.1:{server.server_port}/dashboard/studies/1"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}"]
)
def test_a_foreign_host_is_refused(client: Client, host: str) -> None:
    answer = client.ask("GET", "/api/studies", host=host.format(port=client.port))
    assert answer.status == 403
    assert b"guarded" not in answer.body


def test_localhost_is_the_same_place(client: Client) -> None:
    assert client.ask("GET", "/api/studies", host=f"localhost:{client.port}").status == 200


CHANGES = [
    ("DELETE", "/api/studies/1", None),
    ("POST", "/api/studies", '{"study_name": "new", "directions": ["minimize"]}'),
    ("POST", "/api/studies/1/rename", '{"study_name": "new"}'),
    ("PUT", "/api/studies/1/note", '{"version": 1, "body": "x"}'),
    ("POST", "/api/trials/1/tell", '{"state": "fail"}'),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_nothing_can_be_changed(client: Client, untouched: Path, method: str, path: str, body: str | None) -> None:
    before = (untouched / "study.db").read_bytes()
    answer = client.ask(method, path, body=body, Sec_Fetch_Site="same-origin")
    assert answer.status == 403
    assert b"--allow-edit" in answer.body
    assert (untouched / "study.db").read_bytes() == before


def test_edits_come_from_the_dashboards_own_pages(editor: Client, run: Path) -> None:
    assert editor.ask("DELETE", "/api/studies/1").status == 403
    for site in ("none", "same-site", "cross-site"):
        assert editor.ask("DELETE", "/api/studies/1", Sec_Fetch_Site=site).status == 403, site
    assert studies(run) == ["guarded"]


def test_edits_work_when_allowed(editor: Client, run: Path) -> None:
    assert editor.ask("DELETE", "/api/studies/1", host="evil.example", Sec_Fetch_Site="same-origin").status == 403
    note = '{"version": 1, "body": "seen"}'
    assert editor.ask("PUT", "/api/studies/1/note", body=note, Sec_Fetch_Site="same-origin").status == 204
    assert editor.ask("DELETE", "/api/studies/1", body="{}", Sec_Fetch_Site="same-origin").status == 204
    assert studies(run) == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_link_but_not_fetch_or_frame(client: Client, site: str) -> None:
    def status(path: str, mode: str, dest: str) -> int:
        said = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
        return client.ask("GET", path, **said).status

    assert status("/dashboard", "navigate", "document") == 200
    assert status("/dashboard", "navigate", "iframe") == 403
    assert status("/csv/1", "navigate", "document") == 403
    assert status("/api/studies", "no-cors", "image") == 403
    assert status("/api/studies", "websocket", "websocket") == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_a_page_of_another_origin_is_refused_even_where_a_browser_says_no_more(client: Client, origin: str) -> None:
    assert client.ask("GET", "/api/studies", Origin=origin.format(port=client.port)).status == 403
    assert client.ask("GET", "/api/studies", Origin=f"http://127.0.0.1:{client.port}").status == 200


def test_what_needs_no_browser_is_let_through(client: Client) -> None:
    """Older browsers send no Sec-Fetch headers: they may read here, and let no other site read along."""
    answer = client.ask("GET", "/api/studies")
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


LINES = [
    "GET /api/studies",
    "GET /api/studies HTTP/1.0",
    "GET http://evil.example/api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET http://127.0.0.1:{port}/api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}@evil.example",
    "GET /api/studies HTTP/1.1\r\nHost: localhost.:{port}",
    "GET /api/studies HTTP/1.1\r\nHost: [::1]:{port}",
    "GET /api/studies HTTP/1.1\r\nHost:",
    "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "TRACE /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "OPTIONS /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example",
    "PATCH /api/studies/1 HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "get /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nSec_Fetch_Site: none\r\nSec-Fetch-Site: cross-site",
    "GET /static/..%2f..%2fapp.py HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET /static/../../app.py HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET /static//etc/passwd HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: " + "y" * 70_000,
    "GET /" + "y" * 70_000 + " HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n" + "\r\n".join(f"X-{n}: y" for n in range(200)),
]


@pytest.mark.parametrize("lines", LINES)
def test_nothing_is_told_to_odd_requests(client: Client, lines: str) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(lines.replace("{port}", str(client.port)).encode() + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            told = answer.read()
    assert b"guarded" not in told
    assert b"def " not in told
    assert b"root:" not in told
    assert b" 200 " not in told.partition(b"\r\n")[0]


def test_who_keeps_it_waiting_keeps_nobody_else_waiting(client: Client) -> None:
    slow = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(b"GET /api/studies HTTP/1.1\r\nX: ")
        assert client.ask("GET", "/api/studies").status == 200
    finally:
        for connection in slow:
            connection.close()


def test_a_table_for_spreadsheets_holds_no_formulas() -> None:
    table = b'a,=1+1\r\n-0.5,@SUM(A1)\r\n"+1 ""x"", y",-cmd\r\n'
    assert without_formulas(table) == b'a,\'=1+1\r\n-0.5,\'@SUM(A1)\r\n"\'+1 ""x"", y",\'-cmd\r\n'


def test_the_table_of_a_study_is_made_harmless(run: Path) -> None:
    study = optuna.load_study(study_name="guarded", storage=sqlite_url(run / "study.db"))
    study.add_trial(optuna.trial.create_trial(value=-0.5, user_attrs={"=1+1": "=HYPERLINK(1)"}))
    server, _ = open_server(run, port=0)
    with serving(server) as client:
        answer = client.ask("GET", "/csv/1")
    assert answer.status == 200
    assert b",'=HYPERLINK(1)" in answer.body
    assert b"-0.5" in answer.body
    assert b",=" not in answer.body
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_content_is_not_sniffed_and_data_are_no_pages(client: Client) -> None:
    page, data = client.ask("GET", "/dashboard"), client.ask("GET", "/api/studies")
    assert page.headers["x-content-type-options"] == data.headers["x-content-type-options"] == "nosniff"
    assert data.headers["content-security-policy"] == DATA
    assert "sandbox" in DATA
    assert page.headers["content-security-policy"] == PAGE
    assert page.headers["x-frame-options"] == "DENY"


def test_the_dashboards_pages_may_load_from_here_alone() -> None:
    allowed = {word for rule in PAGE.split("; ") for word in rule.split()[1:]}
    assert allowed == {"'none'", "'self'", "'unsafe-eval'", "'unsafe-inline'", "data:", "blob:"}
    assert "'unsafe-inline'" not in PAGE.split("script-src")[1].split(";")[0]


def test_an_html_artifact_is_sandboxed(run: Path, tmp_path: Path) -> None:
    from optuna_dashboard import wsgi

    harmful = tmp_path / "harmful.html"
    harmful.write_text("<script>fetch('/api/studies/1', {method: 'DELETE'})</script>", encoding="utf-8")
    (tmp_path / "artifacts").mkdir()
    store = FileSystemArtifactStore(tmp_path / "artifacts")
    study = optuna.load_study(study_name="guarded", storage=sqlite_url(run / "study.db"))
    artifact = upload_artifact(study_or_trial=study, file_path=str(harmful), artifact_store=store)
    server, _ = open_server(run, port=0)
    app = wsgi(optuna.storages.RDBStorage(sqlite_url(run / "study.db")), artifact_store=store)
    server.set_app(guarded(app, port=server.server_port))
    with serving(server) as client:
        answer = client.ask("GET", f"/artifacts/1/{artifact}")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert answer.headers["content-security-policy"] == DATA
    assert "access-control-allow-origin" not in answer.headers


def test_a_taken_port_is_a_mistake(run: Path) -> None:
    server, _ = open_server(run, port=0)
    with server, pytest.raises(UserError, match=f"port {server.server_port} is taken; choose another with --port"):
        open_server(run, port=server.server_port)


def test_a_run_without_a_study_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no study\.db"):
        open_server(tmp_path, port=0)


def test_ctrl_c_ends_it_cleanly(run: Path) -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and tests may be started so.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heeding}; import typer; from abr_tune.cli.dashboard import dashboard; typer.run(dashboard)"
    command = [sys.executable, "-c", code, str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert Client(int(address.split(":")[2].split("/")[0])).ask("GET", "/dashboard").status == 200
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert messages.endswith("dashboard ended\n")

"""Optuna's dashboard on this machine's loopback, behind a guard.

The dashboard has no login and believes any Host: a page anywhere on the web could have a visitor's browser delete a
study, through a name that resolves to the loopback (DNS rebinding), a form, or an HTML artifact. The guard answers to
the loopback's own names only, refuses what other sites have a browser fetch or frame, changes nothing unless asked to,
and then only at the request of the dashboard's own pages. No text of a study becomes markup or leaves for elsewhere: a
content security policy lets the dashboard's pages load from here alone, and lets data be no page at all. Other users of
the same machine can still read it.
"""

from __future__ import annotations

import csv
import errno
import io
import logging
import re
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.headers import Headers
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from abr_tune.errors import UserError
from abr_tune.plain import Shown, uncalculated

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST: Final = "127.0.0.1"
NAMES: Final = (HOST, "localhost")
READS: Final = frozenset({"GET", "HEAD"})
PAGES: Final = re.compile(r"/(dashboard(/.*)?)?", re.DOTALL)
"""Paths of the dashboard's own pages; everything else is data, and no browser may run it as a page."""
TABLE: Final = "text/csv"
PAGE: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",  # plotly makes the functions that draw parallel coordinates
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
DATA: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("X-DNS-Prefetch-Control", "off"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
OURS: Final = re.compile(r"content-security-policy.*|access-control-.*|" + "|".join(name for name, _ in ALWAYS), re.I)
"""Headers that the guard alone decides on."""
OURS_AND_LENGTH: Final = re.compile(rf"{OURS.pattern}|content-length", re.I)
SECONDS_TO_ASK: Final = 20

log = logging.getLogger("abr_tune.dashboard")


def refusal(environ: WSGIEnvironment, *, port: int, allow_edit: bool) -> str | None:
    """Why a request is not let through, None when it is."""
    hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
    path, origin = environ.get("PATH_INFO", ""), environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if environ.get("HTTP_HOST", "") not in hosts or not path.startswith("/"):
        return f"This dashboard answers at http://{HOST}:{port} only."
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return "Other sites may link here but not fetch from here."
    if environ["REQUEST_METHOD"] in READS:
        frame = environ.get("HTTP_SEC_FETCH_DEST", "document") != "document"
        linked = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and not frame and PAGES.fullmatch(path)
        foreign = site not in {None, "none", "same-origin"} and not linked
        return "Other sites may link here but not fetch from here." if foreign else None
    if not allow_edit:
        return "This dashboard is read-only; start it with --allow-edit to change the study."
    return None if site == "same-origin" else "Changes are accepted from the dashboard's own pages only."


def guarded(app: WSGIApplication, *, port: int, allow_edit: bool = False) -> WSGIApplication:
    """`app` behind the guard, for a server on `port` of the loopback."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        added = [*ALWAYS, ("Content-Security-Policy", PAGE if PAGES.fullmatch(path) else DATA)]
        reason = refusal(environ, port=port, allow_edit=allow_edit)
        if reason is not None:
            status = HTTPStatus.FORBIDDEN
            start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8"), *added])
            return [reason.encode()]
        kinds = []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            kinds.append(Headers(headers).get("Content-Type", ""))
            dropped = OURS_AND_LENGTH if kinds[-1].startswith(TABLE) else OURS
            kept = [(name, value) for name, value in headers if not dropped.fullmatch(name)]
            return start_response(status, kept + added, *rest)

        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # without one the dashboard breaks
        body = app(environ, start)
        return [without_formulas(b"".join(body))] if kinds and kinds[-1].startswith(TABLE) else body

    return answer


def without_formulas(table: bytes) -> bytes:
    """A CSV table in which no text is a formula: what a spreadsheet would calculate begins with an apostrophe."""
    made = io.StringIO()
    rows = csv.reader(io.StringIO(table.decode(), newline=""))
    csv.writer(made).writerows([uncalculated(cell) for cell in row] for row in rows)
    return made.getvalue().encode()


class Server(ThreadingMixIn, WSGIServer):
    """A small threaded server on the loopback."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without asking a name server what the loopback is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = SECONDS_TO_ASK

    def get_stderr(self) -> Any:
        """Where a fault of the dashboard is told: its text may be that of a study."""
        return Shown(sys.stderr)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        log.debug(format, *args)


def open_server(folder: Path, *, port: int, allow_edit: bool = False) -> tuple[Server, str]:
    """A server for the study of the run in `folder`, ready to serve, and the address of the study's page.

    `port` 0 takes any free one.

    Raises:
        UserError: the run has no study yet, or the port is taken or not allowed.
    """
    from optuna_dashboard import wsgi

    from abr_tune.search.archive import storage_of, study_id
    from abr_tune.search.storage import connect

    url = storage_of(folder)
    if url is None:
        raise UserError(f"{folder} holds no study.db: the run has not begun")
    server = _listening(port)
    storage = connect(url)
    study = study_id(storage, folder.resolve().name)
    server.set_app(guarded(wsgi(storage), port=server.server_port, allow_edit=allow_edit))
    page = "/dashboard" if study is None else f"/dashboard/studies/{study}"
    return server, f"http://{HOST}:{server.server_port}{page}"


def _listening(port: int) -> Server:
    try:
        return Server((HOST, port), _Handler)
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is taken; choose another with --port, or --port 0 for any free one") from None
        if fault.errno == errno.EACCES:
            raise UserError(f"port {port} needs special rights; choose one above 1023 with --port") from None
        raise

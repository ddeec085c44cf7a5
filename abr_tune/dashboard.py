"""Optuna's dashboard on this machine's loopback, behind a guard.

The dashboard has no login and believes any Host: a page anywhere on the web could have a visitor's browser delete a
study, through a name that resolves to the loopback (DNS rebinding), a form, or an HTML artifact. The guard answers to
the loopback's own names only, refuses what other sites have a browser fetch, changes nothing unless asked to, and then
only at the request of the dashboard's own pages. Other users of the same machine can still read it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from abr_tune.errors import UserError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST: Final = "127.0.0.1"
NAMES: Final = (HOST, "localhost")
READS: Final = frozenset({"GET", "HEAD"})
OWN_PAGES: Final = ("/dashboard", "/static/")
"""Paths under which the dashboard itself is served; everything else is data, and no browser may run it as a page."""

log = logging.getLogger("abr_tune.dashboard")


def refusal(environ: WSGIEnvironment, *, port: int, allow_edit: bool) -> str | None:
    """Why a request is not let through, None when it is."""
    allowed = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
    if environ.get("HTTP_HOST", "") not in allowed:
        return f"This dashboard answers at http://{HOST}:{port} only."
    site, mode = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_SEC_FETCH_MODE")
    if environ["REQUEST_METHOD"] in READS:
        foreign = site in {"cross-site", "same-site"} and mode != "navigate"
        return "Other sites may link here but not fetch from here." if foreign else None
    if not allow_edit:
        return "This dashboard is read-only; start it with --allow-edit to change the study."
    return None if site == "same-origin" else "Changes are accepted from the dashboard's own pages only."


def guarded(app: WSGIApplication, *, port: int, allow_edit: bool = False) -> WSGIApplication:
    """`app` behind the guard, for a server on `port` of the loopback."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reason = refusal(environ, port=port, allow_edit=allow_edit)
        if reason is not None:
            status = HTTPStatus.FORBIDDEN
            kind = [("Content-Type", "text/plain; charset=utf-8")]
            start_response(f"{status.value} {status.phrase}", kind + _added(environ))
            return [reason.encode()]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            kept = [(name, value) for name, value in headers if name.lower() != "access-control-allow-origin"]
            return start_response(status, kept + _added(environ), *rest)

        return app(environ, start)

    return answer


def _added(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "SAMEORIGIN"),
        ("Referrer-Policy", "same-origin"),
    ]
    if not environ.get("PATH_INFO", "").startswith(OWN_PAGES):
        headers.append(("Content-Security-Policy", "sandbox"))
    return headers


class Server(ThreadingMixIn, WSGIServer):
    """A small threaded server on the loopback."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking a name server what the loopback is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 60

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

"""The server's side of `web_servers.WebDAVServer`: wsgidav behind cheroot.

Run as `python -m tests.support.web_server_process PORT DIRECTORY`. Of the directory, `open` is served at the top of the
server, and read-only at `/readonly`; `private` is served at `/private`, to one user.

wsgidav leaves the body of some requests unread, and the next one on that connection would begin in it. And it checks
whether a name is taken in a step of its own before it moves a file there; here what changes names happens one after the
other, as it does on a server that does both at once.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp  # type: ignore[import-untyped]

USERNAME = "writer"
PASSWORD = "pass:w/ord@1"  # noqa: S105 - of a loopback server
THREADS = 24
_SERIAL = {"MOVE", "DELETE", "MKCOL"}
_READ_SIZE = 2**16


class Front:
    """Passes requests on, reads what is left of them, and keeps those apart that change names."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _SERIAL:
            with self._lock:
                yield from list(self._app(environ, start_response))
        else:
            yield from self._app(environ, start_response)
        while environ["wsgi.input"].read(_READ_SIZE):
            pass


class _QuietServer(wsgi.Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001, FBT002
        """Say nothing: broken connections are what the tests ask for."""


def main() -> None:
    """Serve until ended."""
    port, directory = int(sys.argv[1]), Path(sys.argv[2])
    logging.disable()
    shares = {"/": "open", "/readonly": "open", "/private": "private"}
    app = WsgiDAVApp(
        {
            "provider_mapping": {
                share: {"root": str(directory / name), "readonly": share == "/readonly"}
                for share, name in shares.items()
            },
            "simple_dc": {"user_mapping": {"*": True, "/private": {USERNAME: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "logging": {"enable": False},
            "lock_storage": False,
        }
    )
    server = _QuietServer(("127.0.0.1", port), Front(app), numthreads=THREADS, request_queue_size=256)
    server.safe_start()


if __name__ == "__main__":
    main()

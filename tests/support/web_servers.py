"""Web servers on loopback for tests: wsgidav, which speaks WebDAV, and nginx, which lists directories in JSON.

    with WebDAVServer(directory) as server:
        client = replica_client(server.url("app"))
        (server.open / "app").mkdir()        # files may come and go around the client

Both serve what lies in a directory.
"""

import base64
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from tests.support.servers import ServerProcess, find_server, free_port
from tests.support.web_server_process import PASSWORD, USERNAME

_ROOT = Path(__file__).parents[2]
_NGINX_CONFIG = """
daemon off;
master_process off;
pid {own}/nginx.pid;
error_log {own}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    types {{ }}
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root {files};
        autoindex on;
        autoindex_format json;
        location /html/ {{ alias {files}/; autoindex_format html; }}
        location /unlisted/ {{ alias {files}/; autoindex off; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
        location /private/ {{
            alias {files}/;
            auth_basic "private";
            auth_basic_user_file {own}/users;
        }}
        location /token/ {{
            alias {files}/;
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
        }}
    }}
}}
"""
TOKEN = "token-0123456789"  # noqa: S105 - of a loopback server


class WebDAVServer(ServerProcess):
    """wsgidav; `open` and `private` are the directories it serves."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.open, self.private = directory / "open", directory / "private"
        for each in (self.open, self.private):
            each.mkdir()
        super().__init__(
            [sys.executable, "-m", "tests.support.web_server_process", str(port), str(directory)],
            port=port,
            log_path=directory / "wsgidav.log",
            environ={"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))},
        )

    def url(self, path: str, *, scheme: str = "webdav", port: int | None = None, user: str = "") -> str:
        """Return a replica URL, with a user and a password before the host if `user` is given."""
        return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{port or self.port}/{path}"


class NginxServer(ServerProcess):
    """nginx; `files` is the directory it serves."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.files, own = directory / "files", directory / "own"
        for each in (self.files, own):
            each.mkdir()
        config = own / "nginx.conf"
        config.write_text(_NGINX_CONFIG.format(own=own, port=port, files=self.files, token=TOKEN))
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).digest()).decode()
        (own / "users").write_text(f"{USERNAME}:{{SHA}}{digest}\n")  # a plain password may have no colon
        command = [find_server("nginx"), "-e", str(own / "error.log"), "-p", str(own), "-c", str(config)]
        super().__init__(command, port=port, log_path=directory / "nginx.log")

    def url(self, path: str, *, port: int | None = None, user: str = "") -> str:
        """Return a replica URL, with a user and a password before the host if `user` is given."""
        return f"http://{user}{'@' if user else ''}127.0.0.1:{port or self.port}/{path}"


def user_info() -> str:
    """Return the user and the password as they stand in a URL."""
    return f"{USERNAME}:{quote(PASSWORD, safe='')}"


def store(directory: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files into a directory, each of them whole or not there, so that it is replaced by another one."""
    for name, data in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_bytes(data)
        temporary.replace(path)

"""Where Google's tokens come from, on loopback: a token endpoint and a machine's metadata server in one.

with TokenServer() as server:
    path = server.service_account_file(directory)
    server.expires_in_s = 200            # of the tokens from now on
    server.refuse(400, {"error": "invalid_grant"})
    assert server.tokens == 1            # given so far: token-1
"""

import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

REFRESH_TOKEN = "refresh-token-of-tests"  # noqa: S105
CLIENT_SECRET = "client-secret-of-tests"  # noqa: S105
EMAIL = "writer@project.iam.gserviceaccount.com"


@cache
def private_key() -> str:
    """Return an RSA key, the same one in all tests."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


class TokenServer:
    """The server; it listens from `__enter__` to `__exit__`."""

    def __init__(self) -> None:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._lock = threading.Lock()
        self._refusal: tuple[int, dict[str, str]] | None = None
        self.tokens = 0  # guarded by _lock
        self.asked: list[dict[str, str]] = []  # guarded by _lock; the forms that came
        self.expires_in_s = 3600

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def refuse(self, status: int, answer: dict[str, str]) -> None:
        """Give no more tokens, but this answer."""
        self._refusal = status, answer

    def service_account_file(self, directory: Path) -> Path:
        info = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": private_key(),
            "client_email": EMAIL,
            "token_uri": f"http://{self.host}/token",
        }
        return _written(directory / "service-account.json", info)

    def authorized_user_file(self, directory: Path) -> Path:
        info = {
            "type": "authorized_user",
            "client_id": "client",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "token_uri": f"http://{self.host}/token",
        }
        return _written(directory / "authorized-user.json", info)

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        with self._lock:
            self.asked.append(form)
            if self._refusal is not None:
                return self._refusal[0], dict(self._refusal[1])
            self.tokens += 1
            token = f"token-{self.tokens}"
        return 200, {"access_token": token, "expires_in": self.expires_in_s, "token_type": "Bearer"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: TokenServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._send(*self.server.owner.answer({name: values[0] for name, values in parse_qs(form).items()}))

    def do_GET(self) -> None:
        if "/token" in self.path:
            self._send(*self.server.owner.answer({"path": self.path}))
        elif "project-id" in self.path:
            self._send(200, "project")
        elif "service-accounts" in self.path:
            self._send(200, {"email": EMAIL, "scopes": [], "aliases": ["default"]})
        else:
            self._send(200, "ok")

    def _send(self, status: int, value: object) -> None:
        is_text = isinstance(value, str)
        body = str(value).encode() if is_text else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/text" if is_text else "application/json")
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _written(path: Path, info: dict[str, str]) -> Path:
    path.write_text(json.dumps(info))
    return path

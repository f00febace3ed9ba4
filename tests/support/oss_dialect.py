"""Lets an S3 server take the requests of the real program for OSS, which speaks OSS's own headers.

Of such a request the signature becomes one as S3 has it, and `x-oss-meta-` headers become `x-amz-meta-` ones, back
again in the answer. Requests in S3's own dialect, as our client sends them, pass through as they are.
"""

from collections.abc import Callable, Iterable
from typing import Any

AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=OSS/20200101/us-east-1/s3/aws4_request, Signature=0"
OURS, THEIRS = "HTTP_X_AMZ_META_", "HTTP_X_OSS_META_"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class OSSDialect:
    """A WSGI application before that of an S3 server."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_AUTHORIZATION", "").startswith("OSS"):
            return self._application(environ, start_response)
        translated = {name.replace(THEIRS, OURS): value for name, value in environ.items()}
        translated["HTTP_AUTHORIZATION"] = AUTHORIZATION

        def start(status: str, headers: list[tuple[str, str]], *error: object) -> Callable[[bytes], object]:
            back = [(name.lower().replace("x-amz-meta-", "x-oss-meta-"), value) for name, value in headers]
            started: Callable[[bytes], object] = start_response(status, back, *error)
            return started

        return self._application(translated, start)

"""Ask S3 in which region a bucket is; only done when S3 says that the region is wrong."""

import http.client
import urllib.error
import urllib.request

from replication.client.s3_config import S3Config
from replication.client.s3_host import bucket_endpoint

_TIMEOUT_S = 5.0
_HEADER = "x-amz-bucket-region"  # also on answers that redirect or refuse


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Takes the redirect for the answer, because it has the header."""

    def redirect_request(self, *_arguments: object) -> None:
        """Go nowhere."""


def find_bucket_region(config: S3Config, region: str) -> str:
    """Return the region of a bucket, or nothing if the server does not tell."""
    url = bucket_endpoint(config.bucket, region, config.endpoint, path_style=config.path_style)
    if config.path_style:
        url += f"/{config.bucket}"
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - an endpoint is http or https
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=_TIMEOUT_S) as answer:
            return str(answer.headers.get(_HEADER, ""))
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers.get(_HEADER, ""))
    except (OSError, http.client.HTTPException):
        return ""

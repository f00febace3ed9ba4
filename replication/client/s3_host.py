"""What the host of an `s3://` URL says: a bucket's name, or a bucket at a provider, or at host and port.

Source: litestream 0.5.17, s3/replica_client.go, "ParseHost".
"""

import re
from dataclasses import dataclass

from replication.client.url_parse import region_from_s3_arn
from replication.errors import UsageError

DEFAULT_REGION = "us-east-1"

_AWS = re.compile(r"(?P<bucket>.+)\.s3(?:[.-](?P<region>[^.]+))?\.amazonaws\.com")
_PROVIDERS = (
    # A host as people write it, the endpoint behind it, whether it wants the bucket in the path.
    (re.compile(r"(?:(?P<bucket>.+)\.)?s3\.(?P<region>[^.]+)\.backblazeb2\.com"), "s3.{}.backblazeb2.com", True),
    (re.compile(r"(?:(?P<bucket>.+)\.)?s3\.filebase\.com(?P<region>)"), "s3.filebase.com", True),
    (re.compile(r"(?:(?P<bucket>.+)\.)?s3\.(?P<region>[^.]+)\.scw\.cloud"), "s3.{}.scw.cloud", False),
    (
        re.compile(r"(?:(?P<bucket>.+)\.)?(?P<region>[^.]+)\.digitaloceanspaces\.com"),
        "{}.digitaloceanspaces.com",
        False,
    ),
)
_ACCESS_POINT = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):s3:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):accesspoint/(?P<name>[a-z0-9-]+)"
)


@dataclass(frozen=True, slots=True)
class S3Host:
    """A bucket and where it is; empty means the URL's host does not say, and AWS for the endpoint."""

    bucket: str
    region: str = ""
    endpoint: str = ""
    path_style: bool = False


def parse_s3_host(host: str) -> S3Host:
    """Return what the host of a URL says.

    >>> parse_s3_host("app.localhost:9000")
    S3Host(bucket='app', region='us-east-1', endpoint='http://localhost:9000', path_style=True)
    """
    if host.lower().startswith("arn:"):
        return S3Host(host, region_from_s3_arn(host))
    if ":" in host and ".com" not in host:
        bucket, dot, rest = host.partition(".")
        if not dot:
            return S3Host("", endpoint=f"http://{host}", path_style=True)
        return S3Host(bucket, DEFAULT_REGION, f"http://{rest}", path_style=True)
    if found := _AWS.fullmatch(host):
        return S3Host(found["bucket"], found["region"] or "")
    for pattern, endpoint, path_style in _PROVIDERS:
        if found := pattern.fullmatch(host):
            region = found["region"]
            return S3Host(found["bucket"] or "", region, "https://" + endpoint.format(region), path_style)
    return S3Host(host)


def bucket_endpoint(bucket: str, region: str, endpoint: str, *, path_style: bool) -> str:
    """Return the address of a bucket, or, for path style, of the server that has it.

    >>> bucket_endpoint("app", "eu-west-1", "", path_style=False)
    'https://app.s3.eu-west-1.amazonaws.com'
    >>> bucket_endpoint("app", "", "http://localhost:9000", path_style=True)
    'http://localhost:9000'

    Raises:
        UsageError: the bucket is an ARN of something else than an access point in a region.

    """
    if bucket.lower().startswith("arn:"):
        found = _ACCESS_POINT.fullmatch(bucket)
        if found is None:
            msg = f"expected an ARN like arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME, got {bucket!r}"
            raise UsageError(msg)
        name = f"{found['name']}-{found['account']}.s3-accesspoint"
        return f"https://{name}.{found['region']}.{_aws_domain(found['region'])}"
    if not endpoint:
        endpoint = f"https://s3.{region}.{_aws_domain(region)}"
    endpoint = endpoint.rstrip("/")
    if path_style:
        return endpoint
    scheme, _, rest = endpoint.partition("://")
    return f"{scheme}://{bucket}.{rest}"


def _aws_domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"

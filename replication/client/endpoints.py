"""Which S3 provider stands behind an endpoint, as far as its host name tells.

An endpoint is `host`, `host:port` or a URL; letter case does not count. One with a user in it is nobody's.

Source: litestream 0.5.17, replica_url.go.
"""

import re

from replication.client.go_url import split_url

# The Go program takes all that begins with 172.2 for private, also 172.2.0.1 and 172.200.0.1, which are public.
_LOCAL = re.compile(
    r"localhost|127\.0\.0\.1|192\.168\..*|10\..*|172\.(1[6-9]|2[0-9]|3[01])\..*|.*\.local|.*\.localhost", re.DOTALL
)
_LABELS_OF_STORAGE = 3  # storage.googleapis.com
_CLOUDS = (
    ".amazonaws.com",
    ".digitaloceanspaces.com",
    ".backblazeb2.com",
    ".filebase.com",
    ".scw.cloud",
    ".r2.cloudflarestorage.com",
    "tigris.dev",
    "t3.storage.dev",
    ".supabase.co",
)


def is_hetzner_endpoint(endpoint: str) -> bool:
    """Say whether this is Hetzner object storage."""
    return _host(endpoint).endswith(".your-objectstorage.com")


def is_tigris_endpoint(endpoint: str) -> bool:
    """Say whether this is Tigris."""
    return _host(endpoint) in {"fly.storage.tigris.dev", "t3.storage.dev"}


def is_google_cloud_storage_endpoint(endpoint: str) -> bool:
    """Say whether this is Google Cloud Storage: the public host, a private one, or one of a region.

    >>> is_google_cloud_storage_endpoint("storage.europe-west3.rep.googleapis.com")
    True
    """
    labels = _without_port(_host(endpoint)).removesuffix(".").split(".")
    if labels[-2:] != ["googleapis", "com"] or len(labels) < _LABELS_OF_STORAGE or "" in labels:
        return False
    if len(labels) > _LABELS_OF_STORAGE and "storage" in labels[1].split("-"):
        return False
    return "storage" in labels[0].split("-")


def is_digital_ocean_endpoint(endpoint: str) -> bool:
    """Say whether this is DigitalOcean Spaces."""
    return _host(endpoint).endswith(".digitaloceanspaces.com")


def is_backblaze_endpoint(endpoint: str) -> bool:
    """Say whether this is Backblaze B2."""
    return _host(endpoint).endswith(".backblazeb2.com")


def is_filebase_endpoint(endpoint: str) -> bool:
    """Say whether this is Filebase."""
    return _host(endpoint) == "s3.filebase.com"


def is_scaleway_endpoint(endpoint: str) -> bool:
    """Say whether this is Scaleway object storage."""
    return _host(endpoint).endswith(".scw.cloud")


def is_cloudflare_r2_endpoint(endpoint: str) -> bool:
    """Say whether this is Cloudflare R2."""
    return _host(endpoint).endswith(".r2.cloudflarestorage.com")


def is_supabase_endpoint(endpoint: str) -> bool:
    """Say whether this is Supabase storage."""
    return _host(endpoint).endswith(".supabase.co")


def is_minio_endpoint(endpoint: str) -> bool:
    """Say whether this looks like MinIO: it has a port, and is none of the known clouds."""
    host = _host(endpoint)
    return ":" in host and not any(cloud in host for cloud in _CLOUDS)


def is_local_endpoint(endpoint: str) -> bool:
    """Say whether this is this machine or a private network.

    >>> is_local_endpoint("172.16.0.1:9000"), is_local_endpoint("s3.example.com")
    (True, False)
    """
    return _LOCAL.fullmatch(_without_port(_host(endpoint))) is not None


def ensure_endpoint_scheme(endpoint: str) -> str:
    """Return the endpoint as a URL: http for local ones, https for others, unless it says which.

    >>> ensure_endpoint_scheme("localhost:9000")
    'http://localhost:9000'
    """
    if not endpoint or endpoint.startswith(("http://", "https://")):
        return endpoint
    return ("http://" if is_local_endpoint(endpoint) else "https://") + endpoint


def _host(endpoint: str) -> str:
    """Return host and port; what is no URL is taken for them as it is."""
    endpoint = endpoint.strip().lower()
    if endpoint.startswith(("http://", "https://")) and (host := _split_host(endpoint)) is not None:
        return host
    return "" if _split_host(f"//{endpoint}") == "" else endpoint


def _split_host(url: str) -> str | None:
    """Return host and port of a URL, nothing if there is a user before them, None if they cannot be told."""
    try:
        parts = split_url(url if url.startswith("http") else f"http:{url}")
    except ValueError:
        return None
    if parts.user is not None:
        return ""
    return parts.host or None


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] or host

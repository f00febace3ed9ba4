"""Credentials for obstore: those that were given, else what boto3 finds (profiles, SSO, roles, containers, machines).

boto3 takes most of a second to import, so it is imported only when nobody gave keys.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from replication.client.s3_config import S3Credentials
from replication.errors import DeniedError, LitestreamError, UsageError

if TYPE_CHECKING:
    from obstore.store import S3Credential

# botocore renews what expires within 10 to 15 minutes when it is asked; so ask often enough to be given that.
_ASK_AGAIN = timedelta(minutes=5)


@dataclass(slots=True)
class CredentialProvider:
    """What obstore calls for credentials; it keeps the last error, of which obstore gives only a text."""

    given: S3Credentials
    region: str = ""  # of boto3's profile
    error: LitestreamError | None = None
    _botocore: Any = field(default=None, repr=False)

    def __call__(self) -> "S3Credential":
        """Return credentials and when to ask again."""
        if self._botocore is None:
            return {
                "access_key_id": self.given.access_key_id,
                "secret_access_key": self.given.secret_access_key,
                "token": self.given.session_token or None,
                "expires_at": None,
            }
        try:
            frozen = self._botocore.get_frozen_credentials()
        except Exception as error:
            self.error = DeniedError(f"boto3 found no valid AWS credentials: {error}")
            raise
        self.error = None
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _ASK_AGAIN,
        }


def credential_provider(given: S3Credentials) -> CredentialProvider | None:
    """Return where obstore gets credentials from; None for requests without a signature.

    Raises:
        UsageError: there is no such profile.
        DeniedError: there are no credentials.

    """
    if given.anonymous:
        return None
    if given.access_key_id:
        return CredentialProvider(given)
    session = given.boto3_session
    if session is None:
        session = _boto3_session(given.profile)
    try:
        found = session.get_credentials()
    except Exception as error:
        msg = f"boto3 found no valid AWS credentials: {error}"
        raise DeniedError(msg) from error
    if found is None:
        msg = (
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, "
            "or anonymous=true for a public bucket"
        )
        raise DeniedError(msg)
    return CredentialProvider(given, region=session.region_name or "", _botocore=found)


def _boto3_session(profile: str) -> Any:  # noqa: ANN401 - boto3 has no types of its own
    import boto3  # noqa: PLC0415 - slow, and seldom needed
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        return boto3.Session(profile_name=profile or None)
    except BotoCoreError as error:
        msg = f"boto3 cannot use the AWS configuration: {error}"
        raise UsageError(msg) from error

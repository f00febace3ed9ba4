"""Deleting objects of a bucket: many with a request where the server can, else one by one."""

from typing import Any

from replication.client.object_bucket import Bucket, RequestError
from replication.errors import LitestreamError


class ObjectDeleter:
    """Deletes objects; once a server has refused to delete many at once, it is not asked to again."""

    def __init__(self, bucket: Bucket[Any], *, permission: str, one_by_one: bool) -> None:
        """Take the bucket; `one_by_one` says what is known of its server."""
        self._bucket = bucket
        self._permission = permission
        self._one_by_one = one_by_one

    def delete(self, keys: list[str]) -> None:
        """Delete objects; those that are not there are no error.

        Raises:
            DeniedError, UnavailableError, UsageError: the server refused, or did not answer.

        """
        import obstore  # noqa: PLC0415 - native, loaded at first use

        if not keys:
            return
        try:
            self._bucket.call("single" if self._one_by_one else "read", obstore.delete, keys)
        except RequestError as error:
            if not self._one_by_one and error.failure.refuses_bulk_delete:
                self._one_by_one = True
            elif not error.failure.is_missing:
                raise self._error(error, keys) from None
            self._delete_each(keys)

    def _delete_each(self, keys: list[str]) -> None:
        """Delete objects one after the other, where that is all a server can or some were missing."""
        import obstore  # noqa: PLC0415 - native, loaded at first use

        for key in keys:
            try:
                self._bucket.call("single", obstore.delete, key)
            except RequestError as error:
                if not error.failure.is_missing:
                    raise self._error(error, [key]) from None

    def _error(self, error: RequestError, keys: list[str]) -> LitestreamError:
        what = f"DELETE {keys[0]}" + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
        return self._bucket.error(error.failure, what, self._permission)

"""One container of Azure Blob Storage, and the credentials it is reached with."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from replication.client.azure_config import AzureConfig
from replication.client.azure_traits import AZURE_CODES
from replication.client.object_bucket import Bucket
from replication.client.object_stores import Purpose, Stores, make_store, shared_stores
from replication.errors import DeniedError, LitestreamError

if TYPE_CHECKING:
    from obstore.store import AzureCredential, ObjectStore

_SCOPE = "https://storage.azure.com/.default"


@dataclass(slots=True)
class IdentityProvider:
    """What obstore calls for a token of azure-identity; it keeps the last error, of which obstore gives only a text."""

    error: LitestreamError | None = None
    _credential: Any = field(default=None, repr=False)

    def __call__(self) -> "AzureCredential":
        """Return a token; azure-identity keeps it, and gets another one before it expires."""
        try:
            token = self._credential.get_token(_SCOPE)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            self.error = DeniedError(f"azure-identity found no credentials: {reason}")
            raise
        self.error = None
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}


class AzureStores(Stores):
    """The stores of one container."""

    def __init__(self, config: AzureConfig) -> None:
        """Remember the settings; nothing is made yet."""
        super().__init__(config.container)
        self._config = config
        self._provider: Callable[[], AzureCredential] | None = None  # guarded by _lock; None leaves it to obstore

    @property
    def credentials_error(self) -> LitestreamError | None:
        """Why there was no token, the last time one was needed."""
        return self._provider.error if isinstance(self._provider, IdentityProvider) else None

    def _prepare(self) -> str:
        self._provider = _provider(self._config)
        return self._config.endpoint

    def _make(self, purpose: Purpose) -> "ObjectStore":
        from obstore.store import AzureStore  # noqa: PLC0415 - native, loaded at first use

        config = self._config
        return make_store(
            AzureStore,
            config.container,
            purpose,
            endpoint=config.endpoint,
            timeout_s=config.timeout_s,
            skip_verify=False,
            credential_provider=self._provider,
            # Else the environment could say otherwise.
            settings={"account_name": config.account_name, "use_emulator": False, "skip_signature": False},
        )


class AzureBucket(Bucket[AzureStores]):
    """The container of one replica."""

    def __init__(self, config: AzureConfig) -> None:
        """Remember the settings; nothing is made yet."""
        super().__init__(config.container, server=config.endpoint, codes=AZURE_CODES)
        self._config = config

    def _new_stores(self) -> AzureStores:
        key = replace(self._config, path="")
        return shared_stores(key.container, key, lambda: AzureStores(key))


def _provider(config: AzureConfig) -> "Callable[[], AzureCredential] | None":
    """Return where obstore gets credentials from; None for its own chain.

    That chain takes a client secret, a workload identity or a managed identity, as AZURE_... variables say;
    azure-identity knows more ways, the login of `az` among them.
    """
    if config.sas_token:
        return lambda: {"sas_token": config.sas_token, "expires_at": None}
    if config.account_key:
        return lambda: {"access_key": config.account_key, "expires_at": None}
    try:
        identity = importlib.import_module("azure.identity")  # optional, and slow
    except ImportError:
        return None
    return IdentityProvider(_credential=identity.DefaultAzureCredential())

"""Replicas in Azure Blob Storage: `<path>/ltx/<level>/<min>-<max>.ltx`.

Source: litestream 0.5.17, abs/replica_client.go.
"""

from typing import ClassVar

from replication.client.azure_bucket import AzureBucket
from replication.client.azure_config import AzureConfig
from replication.client.azure_traits import AZURE_TRAITS
from replication.client.object_lease import ObjectLeaseStore
from replication.client.object_store import ObjectStoreClient, UploadSettings
from replication.client.object_traits import Traits

PART_SIZE = 5 * 2**20  # bytes; a blob has up to 50,000 blocks
CONCURRENCY = 5


class AzureReplicaClient(ObjectStoreClient):
    """A replica in a container of Azure Blob Storage."""

    type: ClassVar[str] = "abs"
    traits: ClassVar[Traits] = AZURE_TRAITS

    def __init__(self, config: AzureConfig) -> None:
        """Take the settings; nothing is connected yet."""
        self._config = config
        uploads = UploadSettings(part_size=PART_SIZE, concurrency=CONCURRENCY)
        super().__init__(AzureBucket(config), config.path, uploads, deletes_one_by_one=False)

    def __repr__(self) -> str:
        config, state = self._config, "open" if self._bucket.is_open else "idle"
        place = f"abs://{config.account_name}@{config.container}/{config.path}"
        return f"<AzureReplicaClient {place} endpoint={config.endpoint} {state}>"

    @property
    def config(self) -> AzureConfig:
        """The settings."""
        return self._config

    def lease_store(self) -> ObjectLeaseStore:
        """Return where the replica's lease is."""
        return ObjectLeaseStore(AzureBucket(self._config), self._prefix, self.traits.permissions)

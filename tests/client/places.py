"""Replicas that both the real program and our clients can reach."""

from dataclasses import dataclass

from replication.client.base import ReplicaClient
from tests.support.litestream_program import AnyReplica


@dataclass(frozen=True, slots=True)
class Place:
    """One replica; `program_knows_times` says whether a listing of the program gives the headers' times."""

    replica: AnyReplica
    client: ReplicaClient
    program_knows_times: bool = True

"""The counters of a replica as one JSON object's worth of values."""

from vfs.replica import SharedReplica


def stats_report(replica: SharedReplica) -> dict[str, object]:
    """Return requests by kind, bytes read, cache hits and misses, polls, the state of the view, and the last error."""
    stats, view = replica.stats, replica.view
    return {
        "requests": {"list": stats.list_requests, "get": stats.get_requests},
        "bytes_read": stats.bytes_read,
        "cache": {
            "size": replica.cache.size,
            "max_size": max(replica.cache.max_size, 0),
            "hits": stats.cache_hits + sum(pin.hits for pin in replica.pins()),
            "misses": stats.cache_misses,
        },
        "prefetch": {
            "prefetched": stats.prefetched,
            "used": stats.prefetch_used,
            "wasted": stats.prefetch_wasted,
            "bytes": stats.prefetch_bytes,
            "bytes_used": stats.prefetch_bytes_used,
        },
        "polls": stats.polls,
        "push": replica.push.is_on,
        "poll_errors": stats.poll_errors,
        "repairs": stats.repairs,
        "txid": f"{view.txid:016x}",
        "pages": view.commit,
        "index_size": view.index_size,
        "last_error": str(replica.error or ""),
    }

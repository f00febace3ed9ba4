"""Query a replica in a bucket: python examples/s3.py BUCKET PATH SQL.

Keys come from where AWS's own tools find them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a role. For
another service than AWS, AWS_ENDPOINT_URL_S3 says where it is, and AWS_REGION how it calls its region.
"""

import json
import sys
from contextlib import closing

import litestream


def main(bucket: str, path: str, sql: str) -> None:
    """Run a query, and show what it took."""
    with closing(litestream.connect(f"s3://{bucket}/{path}", timeout_s=10)) as connection:
        for row in connection.execute(sql):
            print(row)
        stats = json.loads(connection.pragma("litestream_stats"))
        requests = stats["requests"]
        print(f"{requests['get']} GETs and {requests['list']} LISTs brought {stats['bytes_read']} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])

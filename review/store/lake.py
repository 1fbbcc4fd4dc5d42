"""Parquet files and lakes, on this machine or on S3, read through a DuckDB connection of their own.

The connection lives in memory and never sees the review database. Partitions in the path (`date=2026-03-01/`) become
columns. S3 is reached by Arrow's client, so nothing is downloaded at run time; its settings are the usual AWS ones:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL, or a profile or role.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import duckdb

from review.errors import BadInput

_ROWS = 500
_GLOB = frozenset("*?[")


def is_remote(place: str) -> bool:
    """Whether the name is an address on S3."""
    return place.lower().startswith("s3://")


def listing(place: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The Parquet files behind an s3:// address: a file, a pattern, or everything below.

    Raises:
        BadInput: nothing is there, or it cannot be reached.
    """
    pattern = place if place.endswith(".parquet") or _GLOB & set(place) else place.rstrip("/") + "/**/*.parquet"
    with _connected(pattern, environ) as connection:
        found = connection.execute("SELECT file FROM glob($pattern) ORDER BY file", {"pattern": pattern}).fetchall()
    if not found:
        raise BadInput(
            f"{place}: holds no Parquet file that can be seen. Name a bucket and a folder, s3://NAME/FOLDER."
        )
    return [row[0] for row in found]


def count(file: str, environ: Mapping[str, str] = os.environ) -> int:
    """Rows of one Parquet file, from its footer."""
    with _connected(file, environ) as connection:
        found = connection.execute("SELECT sum(num_rows) FROM parquet_file_metadata($file)", {"file": file}).fetchall()
    return int(found[0][0] or 0)


def read(file: str, environ: Mapping[str, str] = os.environ) -> Iterator[list[dict[str, Any]]]:
    """The rows of one Parquet file with its partitions' columns, some hundred at a time.

    Raises:
        BadInput: it cannot be reached or is no Parquet file.
    """
    with _connected(file, environ) as connection:
        rows: Any = connection.sql(
            "SELECT * FROM read_parquet($file, hive_partitioning = true, hive_types_autocast = false)",
            params={"file": file},
        )
        for batch in rows.to_arrow_reader(_ROWS):
            yield cast("list[dict[str, Any]]", batch.to_pylist())


@contextmanager
def _connected(place: str, environ: Mapping[str, str]) -> Generator[duckdb.DuckDBPyConnection]:
    # One thread: rows come in the file's order anyway, and each thread holds a row group.
    connection = duckdb.connect(":memory:", config={"memory_limit": "300MB", "threads": 1})
    try:
        if is_remote(place):
            connection.register_filesystem(_s3(environ))
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    except (duckdb.Error, OSError) as error:
        # DuckDB's own words may quote a cell.
        raise BadInput(f"{place}: cannot be read as Parquet ({type(error).__name__}).") from error
    finally:
        connection.close()


def _s3(environ: Mapping[str, str]) -> Any:
    """S3 as a file system that DuckDB can use."""
    import pyarrow.fs
    from fsspec.implementations import arrow

    address = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")}
    if address:
        scheme, _, host = address.rpartition("://")
        options |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
    client: Any = pyarrow.fs
    system: Any = arrow
    return system.ArrowFSWrapper(client.S3FileSystem(**{name: each for name, each in options.items() if each}))

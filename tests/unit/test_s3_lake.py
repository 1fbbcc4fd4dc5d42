"""A partitioned lake on S3, through the command line and a real S3 server, which sees no write."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import ROOT


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address; credentials and address stand in the environment as usual."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield address
    server.stop()


def put(address: str, place: str, content: bytes = b"") -> None:
    request = urllib.request.Request(f"{address}/{place}", data=content, method="PUT")
    # A bucket or an object, as the path says; the server asks for no signature.
    request.add_header("Content-Type", "application/octet-stream")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")
    with urllib.request.urlopen(request, timeout=10):
        pass


def trace(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Where is parcel {number}?"}]
    return {"trace_id": f"t{number}", "messages": messages, "response": {"content": "On its way."}}


def parquet(rows: list[dict[str, Any]]) -> bytes:
    into = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), into)
    return into.getvalue()


def review(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"REVIEW_DB": str(tmp_path / "r.duckdb")}
    command = [sys.executable, "-m", "review.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)


def test_a_lake_on_s3_comes_in_once_with_its_partitions(s3: str, tmp_path: Path) -> None:
    put(s3, "traffic")
    for day in (1, 2):
        rows = [trace(day * 10 + each) for each in range(3)]
        put(s3, f"traffic/week=9/day={day}/part-0.parquet", parquet(rows))
    for new in (6, 0):
        done = review(tmp_path, "import", "traces", "s3://traffic/week=9", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["new"] == new
    counted = review(tmp_path, "traces", "count", "--json")
    assert json.loads(counted.stdout)["traces"] == 6


def test_what_is_not_there_is_said_in_a_line(s3: str, tmp_path: Path) -> None:
    put(s3, "traffic")
    put(s3, "traffic/broken.parquet", b"no parquet at all")
    for place, words in (("s3://traffic/nothing", "holds no Parquet file"), ("s3://traffic/broken.parquet", "Parquet")):
        done = review(tmp_path, "import", "traces", place)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr

"""Synthetic traces written by a real model server, bound to the schema."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from review import settings
from review.adapters.local_model import ModelServer
from review.domain.pipeline import Endpoint, Endpoints
from review.services.desk import LocalDesk
from review.services.synthesize import synthesize
from review.services.workspace import open_workspace
from tests.servers import endpoint
from tests.traffic import Traffic, add_clusters, add_traces

pytestmark = pytest.mark.slow


def test_a_real_model_writes_traces(old_server: ModelServer, tmp_path: Path) -> None:
    loaded = settings.load(tmp_path / "review.duckdb")
    parameters = {"temperature": 0.7, "max_tokens": 300, "seed": 3}
    stack = Endpoint.model_validate(endpoint(old_server, parameters=parameters))
    config = loaded.config.model_copy(update={"endpoints": Endpoints(old=stack, new=stack)})
    workspace = open_workspace(loaded.model_copy(update={"config": config}))
    try:
        add_clusters(workspace, ["Parcels"])
        add_traces(workspace, [Traffic(6, "parcels")])
        with ThreadPoolExecutor(1) as thread:
            made = thread.submit(synthesize, LocalDesk(workspace, "lead"), 4).result()
        assert made.new + made.failed == 4
        assert made.new >= 1
        rows = workspace.database.cursor().execute("SELECT messages, synthetic FROM trace WHERE source = 'synthetic'")
        assert all(synthetic and "user" in messages for messages, synthetic in rows.fetchall())
    finally:
        workspace.close()

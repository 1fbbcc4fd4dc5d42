"""Real queries of clinc150, clustered once for all tests that look at clusters."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from review import settings
from review.adapters.cache import Cache
from review.adapters.embedding import LocalEncoder
from review.services import cluster
from review.services.cluster import Clustered
from review.services.desk import LocalDesk
from review.services.workspace import Workspace, open_workspace

OLD = (
    "weather",
    "transfer",
    "book_hotel",
    "translate",
    "recipe",
    "play_music",
    "lost_luggage",
    "pto_request",
    "balance",
)
LATER = ("timer", "what_song")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Set:
    """A database after two runs, and what each of three runs did; the third had nothing new."""

    db: Path
    intents: dict[str, str]
    runs: tuple[Clustered, Clustered, Clustered]
    assigned: tuple[dict[str, str], dict[str, str]]

    def copy(self, folder: Path) -> Path:
        """The database, its key and its cache in another folder."""
        for each in self.db.parent.iterdir():
            shutil.copy(each, folder / each.name)
        return folder / self.db.name


def build(source: Path, folder: Path) -> Set:
    """Cluster nine intents, then some more of them with two intents that are new."""
    records = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    by_intent: dict[str, list[Any]] = {}
    for each in records:
        by_intent.setdefault(each["metadata"]["intent"], []).append(each)
    first = [each for intent in OLD for each in by_intent[intent][:32]]
    second = [each for intent in OLD for each in by_intent[intent][32:36]]
    second += [each for intent in LATER for each in by_intent[intent][:30]]
    db = folder / "review.duckdb"
    found = settings.load(db)
    with closing(open_workspace(found)) as workspace, closing(Cache(found.cache_file)) as cache:
        desk, encoder = LocalDesk(workspace, "tests"), LocalEncoder("all-MiniLM-L6-v2")
        add_traces(workspace, first, NOW)
        one = cluster.cluster(desk, encoder, cache)
        before = assigned(workspace)
        add_traces(workspace, second, NOW + timedelta(days=2))
        two = cluster.cluster(desk, encoder, cache)
        after = assigned(workspace)
        three = cluster.cluster(desk, encoder, cache)
        assert assigned(workspace) == after
    intents = {each["trace_id"]: each["metadata"]["intent"] for each in first + second}
    return Set(db, intents, (one, two, three), (before, after))


def add_traces(workspace: Workspace, records: list[Any], when: datetime) -> None:
    """Traces as an import would leave them."""
    table = pa.table(
        {
            "trace_id": [each["trace_id"] for each in records],
            "messages": [json.dumps(each["messages"]) for each in records],
        }
    )
    with workspace.database.transaction() as cursor:
        cursor.register("incoming", table)
        cursor.execute(
            """
            INSERT INTO trace BY NAME
            SELECT trace_id, trace_id AS content_hash, 'prompt-' || trace_id AS prompt_id, 'clinc150' AS source,
                messages::JSON AS messages, $now AS happened_at, false AS synthetic, $now AS imported_at
            FROM incoming""",
            {"now": when},
        )
        cursor.unregister("incoming")


def assigned(workspace: Workspace) -> dict[str, str]:
    """The cluster of each trace."""
    return dict(workspace.database.cursor().execute("SELECT trace_id, cluster_id FROM assignment").fetchall())

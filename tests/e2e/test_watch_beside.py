"""`review watch --once` beside the running app asks the candidate in its own process; the app has the cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from review import settings
from review.services.desk import LocalDesk
from review.services.workspace import open_workspace
from tests.e2e.conftest import Server, run_cli
from tests.faults import FaultServer, prompt_of
from tests.traffic import add_clusters
from tests.unit.test_watch_cause import BOTH, drift
from tests.watching import add_pairs, quick_plan


def test_the_cause_is_found_beside_the_running_app(
    make_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived: dict[str, str] = {}

    def prepare(db: Path) -> None:
        with closing(open_workspace(settings.load(db))) as workspace:
            add_clusters(workspace, ["Parcels", "Refunds"])
            add_pairs(workspace, 800, days=10, clusters=BOTH, distinct=True)
            quick_plan(LocalDesk(workspace, "tester"))
            drift(workspace)
            rows = workspace.database.cursor().execute("SELECT pair_id, new ->> '$.content' FROM pair").fetchall()
            archived.update({f"Ask {name}": words for name, words in rows})

    def answer(document: dict[str, object]) -> str:
        """The candidate of today: bad at what was asked before the change."""
        asked = prompt_of(document)
        return "Very bad" if asked.startswith("Ask s-") else archived[asked]

    with FaultServer(answer=answer) as endpoint:
        stack = {"base_url": endpoint.url, "model": "new"}
        config = {"eval_config": {"replay": {"strip_pii": False}, "endpoints": {"old": stack, "new": stack}}}
        path = tmp_path / "eval_config.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        monkeypatch.setenv("REVIEW_CONFIG", str(path))
        server = make_server(prepare)
        done = run_cli(server.db, "watch", "--once", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["alerts"] == 1
        asked = endpoint.counts.total()
        assert json.loads(run_cli(server.db, "watch", "--once", "--json").stdout.splitlines()[-1])["alerts"] == 0
        assert endpoint.counts.total() == asked > 0
    listed = json.loads(run_cli(server.db, "watch", "alerts", "--json").stdout)
    assert [each["cause"]["cause"] for each in listed["alerts"]] == ["model changed"]

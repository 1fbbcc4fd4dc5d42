"""The Coverage page: empty states, what the suite does not touch, one cluster's traces as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from review import settings
from review.services.coverage import report
from review.services.workspace import Workspace, open_workspace
from tests import clustered as sets
from tests.app.conftest import RunPage, verbatim

HOSTILE = "**bold** <script>alert(1)</script> [link](http://example.org)"


@pytest.fixture
def filled(clustered: sets.Set, tmp_path: Path) -> Iterator[Workspace]:
    folder = tmp_path / "clustered"
    folder.mkdir()
    with closing(open_workspace(settings.load(clustered.copy(folder)))) as opened:
        yield opened


def test_without_traffic_the_page_says_what_to_do(run_page: RunPage) -> None:
    page = run_page("coverage.py")
    assert "review import traces" in verbatim(page)[0]


def test_without_clusters_the_page_says_what_to_do(workspace: Workspace, run_page: RunPage) -> None:
    record = {"trace_id": "t", "messages": [{"role": "user", "content": "hello"}]}
    sets.add_traces(workspace, [record], sets.NOW)
    assert verbatim(run_page("coverage.py"))[0] == "review cluster"


def test_a_cluster_opens_and_foreign_text_stays_text(
    filled: Workspace, run_page: RunPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.ui.shell.workspace", lambda: filled)
    with filled.database.transaction() as cursor:
        cursor.execute("UPDATE trace SET messages = json_array({role: 'user', content: $text})", {"text": HOSTILE})
        cursor.execute("UPDATE cluster SET name = $text || name", {"text": HOSTILE})
    first = report(filled).clusters[0]
    page = run_page("coverage.py")
    assert any("review import suite" in each for each in verbatim(page))
    page.selectbox(key="coverage_map_box").select(first.name).run()
    assert not page.exception
    texts = [each.value for each in page.text]
    assert texts.count(HOSTILE) >= 8
    assert not any("<script>" in each.value or "**bold**" in each.value for each in (*page.markdown, *page.caption))
    assert f"{first.traces:,} traces in the window" in " ".join(texts)


def test_only_leads_see_it(run_page: RunPage) -> None:
    assert "for the role lead" in run_page("coverage.py", role="reviewer").info[0].value

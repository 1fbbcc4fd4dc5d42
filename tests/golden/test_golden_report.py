"""The report of the demo against its snapshot: structure and numbers.

`python -m tests.golden.test_golden_report` writes the snapshot anew; read the difference before you commit it.
"""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.adapters import html
from review.services import demo, looks, report
from review.services.report import Asked
from review.services.workspace import open_workspace
from tests.conftest import NOW
from tests.reporting import read

SNAPSHOT = Path(__file__).with_name("report_demo.json")
# What differs from one database to the next, or from one installation to the next.
_HASH = re.compile(r"\b[0-9a-f]{16,64}\b")
_LONG = 120
_SPARED = ("versions", "configuration", "contract", "config_hash")


def snapshot(folder: Path) -> dict[str, Any]:
    """The demo's report after a look: its JSON, and the page's headings, tables and pictures."""
    chosen = settings.load(folder / "review.duckdb")
    chosen.key_file.write_text("1f" * 32 + "\n", encoding="ascii")  # which side a card shows first comes from the key
    with closing(open_workspace(chosen)) as workspace:
        demo.build(workspace, NOW)
        looks.take(workspace, None, "Mara", NOW)
        document = report.of_workspace(workspace, "tester", Asked())
    page = html.page(document)
    return {
        "document": _settled(json.loads(report.rendered(document, "json"))),
        "headings": re.findall(r"<h[1-3]>(.*?)</h[1-3]>", re.sub(r"</?data[^>]*>", "", page)),
        "captions": re.findall(r"<caption>(.*?)</caption>", page),
        "pictures": re.findall(r'<title id="[^"]*">(.*?)</title>', page),
        "values": len(read(page).shown),
    }


def _settled(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _settled(value) for key, value in document.items() if key not in _SPARED}
    if isinstance(document, list):
        return [_settled(each) for each in document]
    if isinstance(document, str) and len(document) > _LONG:
        return f"({len(document)} characters)"
    if isinstance(document, str):
        return _HASH.sub("(hash)", re.sub(r"round-\d+-[0-9a-f]{6}", "(round)", document))
    return document


def test_the_report_of_the_demo_is_that_of_the_snapshot(tmp_path: Path) -> None:
    assert _differences(snapshot(tmp_path), json.loads(SNAPSHOT.read_text(encoding="utf-8")), "") == []


def _differences(found: Any, wanted: Any, where: str) -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        return [each for key in keys for each in _differences(found.get(key), wanted.get(key), f"{where}/{key}")]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [each for at, pair in pairs for each in _differences(*pair, f"{where}/{at}")]
    # Another release of a numeric library may move the last digits.
    same = found == pytest.approx(wanted, rel=1e-6, abs=1e-9) if isinstance(wanted, float) else found == wanted
    return [] if same else [f"{where}: {str(found)[:80]} and not {str(wanted)[:80]}"]


if __name__ == "__main__":
    from tests.conftest import pytest_configure

    pytest_configure()
    with tempfile.TemporaryDirectory() as folder:
        SNAPSHOT.write_text(json.dumps(snapshot(Path(folder)), ensure_ascii=True, indent=1) + "\n", encoding="utf-8")

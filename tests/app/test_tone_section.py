"""The section about tone in Streamlit: nothing there, wording only, few labels, a clear case; and its sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from review.services.tone import tone_of
from review.services.workspace import Workspace
from review.ui import tone_section
from tests.agreeing import bring, label
from tests.unit.test_tone_service import bring_texts


def drawn(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> AppTest:
    """The section alone on a page."""
    monkeypatch.setattr("review.ui.shell.workspace", lambda: workspace)

    def page() -> None:
        from review.services.tone import tone_of
        from review.ui import charts, shell, tone_section

        charts.style()
        tone_section.show(tone_of(shell.workspace()))

    app = AppTest.from_function(page, default_timeout=60)
    app.run()
    assert not app.exception
    return app


def charts_of(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def test_without_data_it_says_what_is_missing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    app = drawn(monkeypatch, workspace)
    assert "Nothing to compare yet" in app.markdown[0].value
    assert charts_of(app) == 0


def test_wording_is_shown_before_anybody_labels(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_texts(workspace, tmp_path, {f"{i}": ("word " * (20 + i % 5), "word " * (10 + i % 7)) for i in range(40)})
    app = drawn(monkeypatch, workspace)
    said = " ".join(each.value for each in app.markdown)
    assert "Nobody has said yet" in said
    assert "% fewer words" in said
    assert charts_of(app) == 1
    assert any("Not enough labelled pairs" in each.value for each in app.text)


def test_a_clear_case_is_said_first_and_then_drawn(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: dict[str, tuple[str | None, str | None]] = {}
    labels: list[dict[str, Any]] = []
    for i in range(60):
        cut = i % 5 != 0
        texts[f"{i}"] = ("word " * (20 + i % 6), "word " * ((8 if cut else 19) + i % 5))
        labels.append(label(f"{i}", "<b>*ana*</b>", "old", tone="old" if cut else "new"))
    bring_texts(workspace, tmp_path, texts)
    bring(workspace, tmp_path, labels=labels)
    people, length, together = tone_section.sentences(tone_of(workspace))
    assert people.startswith(
        "People found the old answer's tone fitter in **80 %** and the new one's in **20 %** of 60 pairs"
    )
    assert "**The old tone is preferred**" in people
    assert "fewer words**" in length
    assert "fewer words" in together
    app = drawn(monkeypatch, workspace)
    assert charts_of(app) == 2
    assert len(app.dataframe[0].value) == 12
    assert "ana" not in str(app.main)


def test_no_preference_is_not_made_one(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=[f"{i}" for i in range(12)],
        labels=[label(f"{i}", "ana", "old", tone=("old", "new", "same")[i % 3]) for i in range(12)],
    )
    people = tone_section.sentences(tone_of(workspace))[0]
    assert "**cannot be said yet**" in people
    assert "sign test p = 1.000" in people

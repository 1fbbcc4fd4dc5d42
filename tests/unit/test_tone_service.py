"""Tone on small sets brought in through the import: who counts, what is measured, what goes together, and how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from review import settings
from review.errors import BadInput, NotFound
from review.services import ingest, tone
from review.services.tone import tone_of
from review.services.workspace import Workspace, open_workspace
from review.stats.effects import Association
from review.stats.estimate import Estimate, NotEstimable
from review.stats.paired import SignTest
from tests.agreeing import bring, label, verdict
from tests.conftest import NOW, shared


def bring_texts(workspace: Workspace, folder: Path, texts: dict[str, tuple[str | None, str | None]]) -> None:
    """Import pairs with these old and new texts; None is an answer of a tool call only."""

    def output(text: str | None) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
        return {"content": text} if text is not None else {"content": None, "tool_calls": [call]}

    lines = [
        {
            "pair_id": pair,
            "prompt_id": pair.split("-")[0],
            "messages": [{"role": "user", "content": "Ask"}],
            "old": output(old),
            "new": output(new),
        }
        for pair, (old, new) in texts.items()
    ]
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    ingest.import_files(workspace, "pairs", [file], now=NOW)


def test_the_final_answer_of_a_pair_counts_once(workspace: Workspace, tmp_path: Path) -> None:
    bring(
        workspace,
        tmp_path,
        pairs=["a", "b", "c", "d", "e"],
        labels=[
            label("a", "ana", "old", tone="old"),
            label("a", "ben", "old", tone="old"),
            label("a", "cleo", "old", tone="new"),
            label("b", "ana", "old", tone="old"),
            label("b", "ben", "old", tone="new"),
            label("c", "ana", "old", tone="old"),
            label("c", "lea", "old", tone="new", kind="adjudication"),
            label("d", "ana", "old", tone="new", occurrence=1),
            label("d", "ben", "old", tone="new", surplus=True),
            label("d", "cleo", "old", tone="same", label_id="first"),
            label("d", "cleo", "old", tone="old", label_id="second", supersedes="first"),
            label("e", "ana", "old"),
        ],
    )
    report = tone_of(workspace)
    # a: majority old. b: no majority. c: adjudicated new. d: the correction. e: nothing said about tone.
    assert report.counts == {"old": 2, "same": 0, "new": 1}
    assert report.excluded == {"not_answered": 1, "people_unresolved": 1}
    assert report.labels == {"counted": 7, "of_them_simulated": 0}
    assert isinstance(report.preferred, SignTest)
    assert (report.preferred.old, report.preferred.new, report.preferred.p) == (2, 1, 1.0)
    assert isinstance(report.balance, Estimate)
    assert report.balance.value == pytest.approx(1 / 3)
    assert tone.pairs_behind(workspace, "new")[0] == 1
    count, lines = tone.pairs_behind(workspace, "old", limit=1)
    assert (count, [line.pair_id for line in lines]) == (2, ["a"])
    with pytest.raises(BadInput, match="no answer"):
        tone.pairs_behind(workspace, "better")
    with pytest.raises(NotFound, match="no round"):
        tone_of(workspace, "nothing")


def test_only_disagreements_with_prose_are_measured(workspace: Workspace, tmp_path: Path) -> None:
    bring_texts(
        workspace,
        tmp_path,
        {
            "same": ("One two three.", "One two three."),
            "tie": ("One two.", "One too."),
            "call": ("One two.", None),
            "code": ("```\nx = 1\n```", "One two."),
            "a-1": ("I am sorry, one two.", "One."),
            "a-2": ("One two three four.", "One two."),
        },
    )
    bring(workspace, tmp_path, verdicts=[verdict("tie", "tie")])
    report = tone_of(workspace)
    counts = report.disagreements
    assert (counts.of, counts.sampled, counts.without_prose, counts.n, counts.prompts) == (4, 4, 2, 2, 1)
    words = report.traits[0]
    assert (words.old, words.new) == (4.5, 1.5)
    assert isinstance(words.difference, NotEstimable)
    assert (report.n, report.preferred) == (0, NotEstimable("nothing was observed"))


def test_a_trait_that_drives_the_choice_is_found_and_others_are_not(workspace: Workspace, tmp_path: Path) -> None:
    # Where the new answer lost its apology people prefer old, else new; lengths vary without meaning.
    texts: dict[str, tuple[str | None, str | None]] = {}
    labels: list[dict[str, Any]] = []
    for index in range(60):
        cut = index % 2 == 0
        filler = " word" * (10 + index % 7)
        texts[f"{index}"] = (f"We are sorry.{filler}.", f"{'Right' if cut else 'We are sorry'}.{filler[5:]}.")
        labels.append(label(f"{index}", "ana", "old", tone="old" if cut else "new"))
    bring_texts(workspace, tmp_path, texts)
    bring(workspace, tmp_path, labels=labels)
    report = tone_of(workspace)
    assert report.strongest()[0].trait.key in ("apologies", "words")
    found = {each.trait.key: each for each in report.traits}
    apologies = found["apologies"].goes_with
    assert isinstance(apologies, Association)
    # Fewer apologies where old was preferred: the change is lower there.
    assert apologies.value.high < 0
    assert apologies.adjusted < 0.01
    assert isinstance(found["hedges"].goes_with, NotEstimable)
    assert isinstance(found["words"].ratio, Estimate)
    assert found["words"].ratio.high < 1
    assert isinstance(found["apologies"].effect, Estimate)
    assert found["apologies"].ratio is None
    text = json.dumps(report.to_json(), allow_nan=False)
    assert "sorry" not in text


def test_a_sample_is_the_same_every_time_and_says_its_size(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_texts(workspace, tmp_path, {f"{i}": ("word " * 20, "word " * (i % 19 + 1)) for i in range(50)})
    whole = tone_of(workspace)
    assert (whole.disagreements.of, whole.disagreements.n) == (50, 50)
    monkeypatch.setattr(tone, "SAMPLE", 30)
    sample = tone_of(workspace)
    assert (sample.disagreements.of, sample.disagreements.n) == (50, 30)
    assert tone_of(workspace) == sample
    # Long answers: fewer of them, so that the time is kept.
    monkeypatch.setattr(tone, "CHARACTERS", 1_000)
    few = tone_of(workspace)
    assert 1 <= few.disagreements.n < 10
    assert few.disagreements.of == 50


def test_an_empty_workspace_has_a_report_without_a_number(workspace: Workspace) -> None:
    report = tone_of(workspace)
    assert report.n == 0
    assert report.strongest() == []
    assert all(isinstance(each.difference, NotEstimable) and each.old is None for each in report.traits)
    json.dumps(report.to_json(), allow_nan=False)


def test_swapping_old_and_new_mirrors_everything(workspace: Workspace, tmp_path: Path) -> None:
    texts = {f"{i // 2}-{i}": (f"Perhaps {'word ' * (i % 9 + 3)}", f"You {'may ' * (i % 4)}go now") for i in range(40)}
    sides = ["old", "new", "same", "old", "new"]
    bring_texts(workspace, tmp_path, {f"x{pair}": both for pair, both in texts.items()})
    bring(
        workspace, tmp_path, labels=[label(f"x{pair}", "ana", "old", tone=sides[i % 5]) for i, pair in enumerate(texts)]
    )
    here = tone_of(workspace)
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    swapped = open_workspace(settings.load(other_folder / "review.duckdb"))
    try:
        turned = {"old": "new", "new": "old", "same": "same"}
        bring_texts(swapped, other_folder, {f"x{pair}": (new, old) for pair, (old, new) in texts.items()})
        bring(
            swapped,
            other_folder,
            labels=[label(f"x{pair}", "zoe", "old", tone=turned[sides[i % 5]]) for i, pair in enumerate(texts)],
        )
        there = tone_of(swapped)
    finally:
        swapped.close()
    assert there.counts == {turned[answer]: count for answer, count in here.counts.items()}
    assert isinstance(here.balance, Estimate)
    assert isinstance(there.balance, Estimate)
    assert (there.balance.low, there.balance.high) == (
        pytest.approx(-here.balance.high),
        pytest.approx(-here.balance.low),
    )
    for one, other in zip(here.traits, there.traits, strict=True):
        for a, b in ((one.difference, other.difference), (one.median, other.median), (one.effect, other.effect)):
            assert isinstance(a, Estimate) == isinstance(b, Estimate)
            if isinstance(a, Estimate) and isinstance(b, Estimate):
                assert (b.value, b.low) == (pytest.approx(-a.value), pytest.approx(-a.high))


def test_a_real_set_is_measured(workspace: Workspace) -> None:
    ingest.import_files(workspace, "pairs", [shared("data/phi3_dpo/pairs.jsonl")], now=NOW)
    report = tone_of(workspace)
    assert report.disagreements.n > 50
    words = report.traits[0]
    assert isinstance(words.ratio, Estimate)
    assert isinstance(words.effect, Estimate)

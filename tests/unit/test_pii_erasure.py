"""A leak found in the audit is gone: from every table, the mirror, the cache, and the bytes of the file."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from review import settings
from review.adapters import leaks
from review.adapters.cache import Cache
from review.errors import BadInput, NotAllowed
from review.services import flag, ingest, privacy, strip
from review.services.workspace import Actor, Workspace, open_workspace
from tests.adversarial import a_report
from tests.conftest import NOW

LEAD = Actor("lea", "lead")
SECRET = "Xanthippe Quellmann"


def filled(workspace: Workspace, folder: Path) -> None:
    """A leak that nobody saw, in a pair, a verdict, a label's comment, an adversarial entry and the cache."""
    pairs, verdicts, labels = (folder / f"{name}.jsonl" for name in ("pairs", "verdicts", "labels"))
    pair = {
        "pair_id": "p1",
        "messages": [{"role": "user", "content": f"This is about xanthippe\nquellmann, thanks. Not {SECRET}son."}],
        "old": {"content": "Dear XANTHIPPE QUELLMANN,"},
        "new": {"tool_calls": [{"function": {"name": "find", "arguments": json.dumps({"who": SECRET, "n": 1})}}]},
        "metadata": {"note": SECRET},
    }
    other = {
        "pair_id": "p2",
        "messages": [{"role": "user", "content": "hi"}],
        "old": {"content": "a"},
        "new": {"content": "b"},
    }
    pairs.write_text(json.dumps(pair) + "\n" + json.dumps(other) + "\n")
    verdicts.write_text(
        json.dumps({"pair_id": "p1", "judge": "j", "winner": "old", "rationale": f"It greets {SECRET}."})
    )
    labels.write_text(
        json.dumps({"pair_id": "p1", "reviewer": "r", "preference": "old", "comment": f"greets {SECRET}"})
    )
    for kind, file in (("pairs", pairs), ("verdicts", verdicts), ("labels", labels)):
        ingest.import_files(workspace, kind, [file], now=NOW)  # type: ignore[arg-type]  # one of the kinds
    flag.report(workspace, a_report(failed="old", expected=f"No {SECRET}"), "ann", NOW)
    with closing(Cache(workspace.settings.cache_file)) as cache:
        cache.put("answer", {"k1": f"Dear {SECRET}".encode(), "k2": b"hello"}, {"k1": "p1", "k2": "p9"})
        cache.put("vector", {"k3": json.dumps({"text": SECRET}).encode(), "k4": b"[1, 2]"})


def everything(folder: Path) -> bytes:
    return b"\n".join(
        path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".jsonl" or "adversarial" in path.name
    )


def test_leaked_words_are_erased_everywhere_and_leave_a_tombstone(tmp_path: Path) -> None:
    place = settings.load(tmp_path / "review.duckdb")
    workspace = open_workspace(place)
    filled(workspace, tmp_path)
    workspace.close()
    assert b"uellmann" in everything(tmp_path)

    workspace = open_workspace(place)
    done = privacy.erase(workspace, "PERSON", "Xanthippe  quellmann", LEAD, NOW)
    assert done.places == {"adversarial": 1, "cache": 2, "label": 1, "pair": 1, "verdict": 1}
    cursor = workspace.database.cursor()
    messages, old, new, metadata = cursor.execute(
        "SELECT messages, old, new, metadata FROM pair WHERE pair_id = 'p1'"
    ).fetchall()[0]
    assert json.loads(messages)[0]["content"] == f"This is about <PERSON_1>, thanks. Not {SECRET}son."
    assert json.loads(old)["content"] == "Dear <PERSON_1>,"
    arguments = json.loads(new)["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"who": "<PERSON_1>", "n": 1}
    assert json.loads(metadata) == {"note": "<PERSON_1>"}
    # Another name that begins alike was not asked for; it goes too, so that the bytes can be looked through.
    privacy.erase(workspace, "PERSON", f"{SECRET}son", LEAD, NOW)
    assert flag.verify(workspace).ok
    with pytest.raises(Exception, match="append-only"):
        cursor.execute("UPDATE label SET comment = 'x'")
    tombstones = cursor.execute("SELECT kind, places, compacted FROM erasure").fetchall()
    assert ("PERSON", False) in [(kind, compacted) for kind, _, compacted in tombstones]
    rows = cursor.execute("SELECT count(*) FROM pair").fetchall()
    workspace.close()

    workspace = open_workspace(place)
    cursor = workspace.database.cursor()
    assert cursor.execute("SELECT count(*) FROM pair").fetchall() == rows
    assert cursor.execute("SELECT bool_and(compacted) FROM erasure").fetchall() == [(True,)]
    with pytest.raises(Exception, match="append-only"):
        cursor.execute("DELETE FROM label")
    assert flag.verify(workspace).ok
    workspace.close()
    assert b"uellmann" not in everything(tmp_path).lower()
    assert b"xanthippe" not in everything(tmp_path).lower()


LATER = {
    "trace_label": "(label_id, sample_id, trace_id, reviewer, kind, comment, labelled_at, received_at) "
    "VALUES ('l', 's', 't', 'r', 'label', $said, now(), now())",
    "suite_prompt": "(suite_prompt_id, suite, text, imported_by, imported_at) VALUES ('s', 'f', $said, 'r', now())",
    "golden_item": "(item_hash, item_id, prompt_id, messages, reference, rubric, content_hash, redactions, source, "
    "added_by, added_at) VALUES ('h', 'i', 'p', json_array(json_object('role', 'user', 'content', $said)), $said, "
    "json_array(json_object('item', $said, 'weight', 1.0)), 'c', '{}', 'f', 'r', now())",
    "golden_answers": "(answers_id, item_hash, old, new, made_at) "
    "VALUES ('a', 'h', json_object('content', $said), json_object('content', 'ok'), now())",
}


def test_it_reaches_audit_comments_suites_and_the_golden_set(tmp_path: Path) -> None:
    place = settings.load(tmp_path / "review.duckdb")
    with closing(open_workspace(place)) as workspace:
        for table, row in LATER.items():
            workspace.database.cursor().execute(f"INSERT INTO {table} {row}", {"said": f"It was {SECRET}."})
        assert set(privacy.erase(workspace, "PERSON", SECRET, LEAD, NOW).places) == set(LATER)
        with pytest.raises(Exception, match="append-only"):
            workspace.database.cursor().execute("UPDATE trace_label SET comment = 'x'")
    open_workspace(place).close()  # the file is written anew
    assert b"uellmann" not in everything(tmp_path).lower()


def test_what_was_erased_is_stripped_from_then_on(tmp_path: Path) -> None:
    place = settings.load(tmp_path / "review.duckdb")
    stripping = place.config.replay.model_copy(update={"strip_pii": True})
    place = place.model_copy(update={"config": place.config.model_copy(update={"replay": stripping})})
    with closing(open_workspace(place)) as workspace:
        assert strip.strip_words(workspace, {"comment": "the zorblax gizmo came"}) == {
            "comment": "the zorblax gizmo came"
        }
        privacy.erase(workspace, "ORDER", "Zorblax gizmo", LEAD, NOW)
        privacy.add_pattern(workspace, r"QQ-\d{3}-[A-Z]", LEAD, NOW)
        said = strip.strip_words(workspace, {"comment": "the ZORBLAX\ngizmo came as QQ-123-X"})
        assert said == {"comment": "the <LEAK_1> came as <LEAK_2>"}


def test_only_a_lead_erases_and_only_with_words(workspace: Workspace) -> None:
    with pytest.raises(NotAllowed):
        privacy.erase(workspace, "PERSON", "Anna", Actor("ann", "reviewer"), NOW)
    with pytest.raises(BadInput):
        privacy.erase(workspace, "PERSON", "!", LEAD, NOW)
    with pytest.raises(BadInput):
        privacy.erase(workspace, "NOBODY", "Anna", LEAD, NOW)


@pytest.mark.parametrize("pattern", ["(a+)+b", "[", "", ".*", r"\w+", "please"])
def test_expressions_that_run_away_or_find_everything_are_refused(pattern: str) -> None:
    with pytest.raises(BadInput):
        leaks.check_pattern(pattern)


def test_the_leakage_rate_has_an_interval(workspace: Workspace) -> None:
    audit = privacy.audit(workspace, 1, 10)
    assert audit.traces == ()
    assert "nothing" in str(audit.rate)

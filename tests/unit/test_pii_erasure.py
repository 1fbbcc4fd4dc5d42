"""A leak found in the audit is gone: from every table, the mirror, the cache, and the bytes of the file."""

from __future__ import annotations

import fcntl
import json
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from review import settings
from review.adapters import leaks
from review.adapters.cache import Cache
from review.domain import golden as rules
from review.domain.golden import Item
from review.domain.run import Part
from review.errors import BadInput, Conflict, NotAllowed
from review.services import flag, gate, golden, ingest, privacy, runs, strip, watch_desk
from review.services.desk import Call, LocalDesk
from review.services.workspace import Actor, Workspace, open_workspace
from review.store import golden as store
from review.store import watch as watch_store
from review.store.runs import RunRow
from tests.adversarial import a_report
from tests.conftest import NOW
from tests.gating import begin, outcomes

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


def item(name: str, reference: str) -> Item:
    return Item.model_validate(
        {
            "item_id": name,
            "messages": [{"role": "user", "content": "Who?"}],
            "reference": reference,
            "rubric": [{"item": "says it"}],
        }
    )


def a_set_a_run_and_a_call(workspace: Workspace) -> tuple[dict[str, str], RunRow, dict[str, str]]:
    """Two golden items, of which one has the words, frozen alone and together; both sets and a benchmark in a run that
    was gated; a file that was watched; and the judge's call about a pair. Versions by name, the run, every digest by
    which a guess at the words could be tested.
    """
    cursor = workspace.database.cursor()
    rows = [
        (each, {"source": "f", "kind": "imported"}) for each in (item("leaky", f"It is {SECRET}."), item("ok", "x"))
    ]
    with workspace.database.transaction() as inside:
        store.add_items(inside, golden.stripped(rows, workspace.key, None), "ada", NOW)
    both = golden.freeze(workspace, "both", "ada", NOW).row
    golden.decide(workspace, LEAD, golden.standings(workspace)["leaky"], "rejected", NOW, reason="no")
    alone = golden.freeze(workspace, "alone", "ada", NOW).row
    cursor.execute(
        "INSERT INTO golden_answers VALUES ('answers-1', $hash, $old, '{}', now())",
        {"hash": item("leaky", f"It is {SECRET}.").item_hash, "old": json.dumps({"content": "It was."})},
    )
    run = begin(workspace)
    for version in (both, alone):
        part = {"evidence": "golden", "part": rules.short(version.version), "data_hash": version.version}
        made = Part.model_validate({**part, "detail": {"version": version.version}})
        runs.record(LocalDesk(workspace, "ada"), run.run_id, made, outcomes([(1.0, 1.0)]))
    bench = Part(evidence="benchmark", part="b", data_hash="c" * 64, detail={"prompts": "d" * 64})
    runs.record(LocalDesk(workspace, "ada"), run.run_id, bench, outcomes([(1.0, 0.0)]))
    evidence = gate.gate(workspace, run, None, "ada", NOW).document["evidence"]
    watch_store.add_file(
        cursor,
        {"file": "a", "content_hash": "e" * 64, "read": 1, "new": 1, "rejected": 0, "problem": None, "taken_at": NOW},
    )
    cursor.execute(
        "INSERT INTO judge_call VALUES ('key-of-p1', 'r', 'p1', 'vote', 'near', 'j', 1, 1, 0, 1, 1, now()), "
        "('key-of-p2', 'r', 'p2', 'vote', 'near', 'j', 1, 1, 0, 1, 1, now())"
    )
    cursor.execute(
        "INSERT INTO verdict (pair_id, judge, vote, raw, imported_at) VALUES ('p1', 'j', 9, $raw, now())",
        {"raw": f"<material-{'0a' * 8}> says"},
    )
    tested = {
        "item": item("leaky", f"It is {SECRET}.").item_hash,
        "set": both.version,
        "the set's short name": rules.short(both.version),
        "benchmark": "c" * 64,
        "prompts": "d" * 64,
        "gate": evidence,
        "file": "e" * 64,
        "call": "key-of-p1",
        "mark": "0a" * 8,
    }
    return {"both": both.version, "alone": alone.version}, run, tested


def rows_of(workspace: Workspace) -> str:
    """Everything that stands in any table."""
    cursor = workspace.database.cursor()
    names = cursor.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    return repr([cursor.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names])


def test_no_digest_is_left_by_which_a_guess_at_the_words_can_be_tested(tmp_path: Path) -> None:
    place = settings.load(tmp_path / "review.duckdb")
    with closing(open_workspace(place)) as workspace:
        filled(workspace, tmp_path)
        frozen, run, tested = a_set_a_run_and_a_call(workspace)
        with closing(Cache(place.cache_file)) as cache:
            cache.put(
                "answer", {"by its prompt": b"nothing", "of ok": b"nothing"}, {"by its prompt": "leaky", "of ok": "ok"}
            )
        before = rows_of(workspace)
        assert [name for name, digest in tested.items() if digest not in before] == []
        privacy.erase(workspace, "PERSON", SECRET, LEAD, NOW)
        after = rows_of(workspace)
        assert [name for name, digest in tested.items() if digest in after] == []
        with closing(Cache(place.cache_file)) as cache:
            assert cache.get("answer", ["by its prompt", "of ok"]).keys() == {"of ok"}

        # What was not erased keeps its name, and a set's version is still that of its items.
        assert "key-of-p2" in after
        assert golden.version(workspace, "alone").version == frozen["alone"]
        assert item("ok", "x").item_hash in after
        both = golden.version(workspace, "both")
        held = golden.held(workspace, both)
        assert rules.set_hash(held.values()) == both.version != frozen["both"]
        assert golden.items(workspace, [held["leaky"]])[held["leaky"]].item.reference == "It is <PERSON_1>."
        parts = {each.part: each for each in runs.parts(workspace, run.run_id)}
        assert parts.keys() == {"b", rules.short(frozen["alone"]), rules.short(both.version)}
        assert parts[rules.short(both.version)].data_hash == both.version
        assert runs.outcomes(workspace, run.run_id).num_rows == 3
        assert flag.verify(workspace).ok
        with pytest.raises(Exception, match="append-only"):
            workspace.database.cursor().execute("UPDATE golden_item SET reference = 'x'")

        # What comes in again is still known.
        same = Part(evidence="benchmark", part="b", data_hash="c" * 64)
        assert runs.record(LocalDesk(workspace, "ada"), run.run_id, same, outcomes([(1.0, 0.0)])) == 1
        other = Part(evidence="benchmark", part="b", data_hash="f" * 64)
        with pytest.raises(Conflict):
            runs.record(LocalDesk(workspace, "ada"), run.run_id, other, outcomes([(1.0, 0.0)]))
        asked = Call({"file": "a", "content_hash": "e" * 64}, None, "ada", NOW)
        assert watch_desk.has_file(workspace, asked).document == {"has": True}
        # A later erasure leaves what is keyed already.
        privacy.erase(workspace, "PERSON", "Nobody Whatsoever", LEAD, NOW)
        assert parts["b"].data_hash.startswith("keyed-")
        assert parts["b"].data_hash in rows_of(workspace)


def test_outputs_of_benchmarks_with_the_words_go_and_the_others_stay(tmp_path: Path) -> None:
    place = settings.load(tmp_path / "review.duckdb")
    kept = tmp_path / "review.duckdb.bench"
    texts = {
        "sample": json.dumps({"doc": {}, "arguments": [json.dumps([{"content": "Zoë\nQuell"}])]}),
        "clean": json.dumps({"doc": {"question": "Zoë asks"}}),
        "interrupted": "",
        "going on": "",
    }
    for name, text in texts.items():
        (kept / name / "output").mkdir(parents=True)
        (kept / name / "output" / "samples_t.jsonl").write_text(text + "\n")
    for name, said in (("interrupted", "Dear Zoë Quell"), ("going on", "Dear Zoë")):
        with closing(sqlite3.connect(kept / name / "answers_rank0.db")) as answers, answers:
            answers.execute("CREATE TABLE unnamed (key TEXT PRIMARY KEY, value BLOB)")
            answers.execute("INSERT INTO unnamed VALUES ('k', ?)", [pickle.dumps(said)])
    with closing(open_workspace(place)) as workspace:
        with (kept / "clean" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(Conflict, match="Nothing was erased yet"):
                privacy.mark_leak(workspace, "1:1", "t", "PERSON", "Zoë Quell", LEAD, NOW)
        assert privacy.audit(workspace, 1, 1).marked == {}
        assert privacy.erase(workspace, "PERSON", "Zoë Quell", LEAD, NOW).places == {"bench": 2}
    assert sorted(each.name for each in kept.iterdir()) == ["clean", "going on"]


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

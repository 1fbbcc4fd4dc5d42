"""The report of a run: the gate's verdict on top, its parts, its evidence; and what is missing."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from review import settings
from review.adapters import html
from review.adapters.html.people import ALL_WORDING, NO_TRAFFIC, OWN, UNLABELLED
from review.domain.contract import Terms
from review.services import agreement, contracts, gate, gate_labels, ingest, operations, report, rounds, run_record
from review.services.desk import Call, LocalDesk
from review.services.report import Asked
from review.services.workspace import Workspace, open_workspace
from tests import gating
from tests.agreeing import label, verdict
from tests.conftest import NOW
from tests.e2e.conftest import run_cli
from tests.reporting import at, fits, read

LATER = NOW + timedelta(hours=1)


def made(workspace: Workspace, **asked: Any) -> dict[str, Any]:
    """The report, after its page was compared with it."""
    document = json.loads(report.rendered(report.of_workspace(workspace, "tester", Asked(**asked)), "json"))
    page = read(html.page(document))
    wrong = [
        each for each in page.shown if not fits(each, each.tick if each.pointer is None else at(document, each.pointer))
    ]
    assert wrong == []
    assert [text for text in page.bare if any(letter.isdigit() for letter in text)] == []
    assert html.markdown(document)
    return document


@pytest.fixture
def whole(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A run with labels, a benchmark, long prompts, chains and the adversarial set, under a signed contract."""
    call = Call({"terms": Terms().model_dump(mode="json"), "name": "Grace Hopper"}, None, "ada", NOW)
    contracts.sign(workspace, call)
    entries = gating.confirmed(workspace, 4, NOW - timedelta(days=2))
    run = gating.begin(workspace)
    gating.label_traffic(workspace, tmp_path, run, gating.SWAPPED, identical=500)
    right = gating.spread(90, 4, 6)
    lengths = {"prompt_tokens": [1000 * (each % 40) for each in range(100)]}
    gating.add(workspace, run, "benchmark", "gsm8k", gating.outcomes(right, **lengths))
    chains = {"steps": [3] * 100, "old_steps": [3] * 100, "new_steps": [1 if each < 9 else 3 for each in range(100)]}
    cut = {"old_cut": [False] * 100, "new_cut": [each < 5 for each in range(100)]}
    gating.add(workspace, run, "golden", "v1", gating.outcomes(right, **chains, **cut))
    gating.replay_set(
        workspace, run, {each: ([0.0, 1.0], [0.0 if at == 0 else 1.0] * 2) for at, each in enumerate(entries)}
    )
    return workspace


def test_the_gate_stands_on_top_with_every_part(whole: Workspace) -> None:
    run = gate.runs.get(whole, "awq")
    before = made(whole, run="awq")
    assert before["verdict"]["verdict"] is None
    assert before["gate"] is None
    gated = gate.gate(whole, run, None, "ada lovelace", LATER).document
    document = made(whole, run="awq")
    assert document["verdict"]["verdict"] == gated["verdict"] == "regression"
    assert {each["id"]: each["verdict"] for each in document["verdict"]["parts"]} == {
        each["id"]: each["verdict"] if each["proven"] else "no harm shown" for each in gated["parts"]
    }
    assert document["verdict"]["newer"] is False
    assert document["contract"]["version"] == 1
    assert [each["name"] for each in document["contract"]["signed"]] == ["Grace Hopper"]
    for mine, said in zip(document["gate"]["parts"], gated["parts"], strict=True):
        assert mine["why"] == said["why"]
        assert mine["bound"] == said["bound"]
        if "value" in said["estimate"]:
            assert mine["estimate"]["value"] == pytest.approx(said["estimate"]["value"], rel=1e-8)
    assert len(gate.history(whole)) == 1, "the report itself reads nothing off"
    page = html.page(document)
    assert page.index("Regression") < page.index("What was compared")
    assert document["date"] >= LATER.isoformat()
    # Redacted, and with a benchmark that came in since.
    gating.add(whole, run, "benchmark", "more", gating.outcomes(gating.spread(10, 0, 0)))
    bare = made(whole, run="awq", redact=True)
    assert bare["verdict"]["newer"] is True
    assert "Since then the evidence has changed" in html.page(bare)
    for form in ("html", "markdown", "json"):
        text = report.rendered(bare, form)
        assert [name for name in ("Grace Hopper", "lovelace", '"ada"', ">ada<", ">Ana<", '"Ana"') if name in text] == []


def test_slices_parts_and_the_set_of_the_run_are_shown(whole: Workspace) -> None:
    document = made(whole, run="awq")
    assert {(each["evidence"], each["part"]) for each in document["evidence"]["parts"]} >= {
        ("benchmark", "gsm8k"),
        ("golden", "v1"),
    }
    assert [each["n"] for each in document["slices"]["long_context"]["buckets"]] != [0, 0, 0, 0]
    assert document["slices"]["tool_chains"]["chains"] == 100
    assert document["slices"]["tool_chains"]["difference"]["value"] == pytest.approx(-0.09)
    standing = document["adversarial"]["standing"]
    assert len(standing["entries"]) == 4
    assert sum(each["new_failed"] for each in standing["entries"]) >= 1
    assert document["adversarial"]["verified"] is True


def test_a_slice_that_only_shows_no_harm_is_not_said_to_hold(workspace: Workspace) -> None:
    call = Call({"terms": Terms(requires=()).model_dump(mode="json"), "name": "Grace Hopper"}, None, "ada", NOW)
    contracts.sign(workspace, call)
    run = gating.begin(workspace)
    lengths = {"prompt_tokens": [40_000] * 20 + [100] * 3980}
    gating.add(workspace, run, "benchmark", "gsm8k", gating.outcomes(gating.spread(3998, 1, 1), **lengths))
    gated = gate.gate(workspace, run, None, "ada", LATER)
    assert gated.line.endswith("2 parts of the contract hold, and no harm is shown in Long context.")
    document = made(workspace, run="awq")
    assert document["verdict"]["word"] == "Parity"
    assert document["verdict"]["sentence"].endswith("in the others no harm is shown.")
    assert [each["verdict"] for each in document["gate"]["parts"]] == ["parity", "no harm shown", "parity"]
    assert html.page(document).count("No harm shown") >= 2


def test_a_run_without_evidence_says_what_would_settle_it(workspace: Workspace) -> None:
    gating.begin(workspace)
    document = made(workspace, run="1")
    assert document["verdict"]["word"] == "Nothing to judge"
    assert document["slices"]["missing"]
    missing = {each["part"]: each["settle"] for each in document["open"]}
    assert "review run record" in missing["Benchmarks and golden set"]
    gate.gate(workspace, gate.runs.get(workspace, "awq"), None, "ada", LATER)
    document = made(workspace, run="awq")
    assert document["verdict"]["word"] == "Inconclusive"


SIZE = 60  # pairs of each step; two of three prompts are those of the other step, too


def bring(workspace: Workspace, folder: Path, kind: Any, records: list[dict[str, Any]], name: str) -> None:
    """Import records from a file of this name, which is what pairs are said to come from."""
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    ingest.import_files(workspace, kind, [path], now=NOW)


def step(workspace: Workspace, folder: Path, name: str, *, drawn: bool, judges: tuple[str, ...], seed: int) -> None:
    """A step of the migration: pairs from NAME.jsonl with verdicts and labels, and a run with them as its replay.

    Everything that the people and judges of a step say is drawn with its seed, and steps differ in how they say it.
    """
    chance = random.Random(seed)
    ids = [f"{name}-{number:02}" for number in range(SIZE)]

    def output(text: str) -> dict[str, Any]:
        return {"content": " ".join([text, *["more"] * chance.randrange(9)]), "confidence": chance.random()}

    pairs = [
        {
            "pair_id": pair,
            "prompt_id": f"prompt-{number if number % 3 else pair}",
            "task": f"t{number % 2}",
            "messages": [{"role": "user", "content": f"Ask {number}"}],
            "old": output("Certainly, the answer is 4."),
            "new": output("It is perhaps four, I think!"),
        }
        for number, pair in enumerate(ids)
    ]
    pairs[0] = pairs[0] | {"new": pairs[0]["old"]}
    bring(workspace, folder, "pairs", pairs, f"{name}.jsonl")
    votes = [
        verdict(pair, chance.choice(("old", "new", "tie", None)), vote=vote, first=first, judge=judge)
        for judge in judges
        for pair in ids
        for vote, first in ((1, "old"), (2, "new"))
    ]
    bring(workspace, folder, "verdicts", votes, "verdicts.jsonl")
    asked, round_id = ids[: SIZE // 2], None
    if drawn:
        spec = rounds.DrawSpec(size=SIZE // 2, seed=5, source=f"{name}.jsonl", overlap=2)
        round_id = rounds.draw(workspace, spec, "lea", NOW).round_id
        slots = workspace.database.cursor().execute("SELECT pair_id FROM slot WHERE round_id = ?", [round_id])
        asked = sorted({pair for (pair,) in slots.fetchall()})
    labels = [
        label(
            pair,
            reviewer,
            chance.choice(("old", "new", "tie", "both_bad")),
            label_id=f"{pair} {reviewer}",
            **({"round_id": round_id} if round_id else {}),
            error_old=chance.choice(("none", "cautious", "confident")),
            error_new=chance.choice(("none", "cautious", "confident")),
            categories_old=chance.choice(([], ["refusal"])),
            categories_new=chance.choice(([], ["refusal"], [f"seen in {name}"])),
            tone=chance.choice(("old", "same", "new")),
            calibration_old=chance.choice(("under", "right", "over")),
            calibration_new=chance.choice(("under", "right", "over")),
        )
        for at, pair in enumerate(asked)
        for reviewer in ("ana", *([] if at % 2 else [f"bo of {name}"]))
    ]
    again = label(asked[0], "ana", "new", label_id=f"{name} again", supersedes=f"{asked[0]} ana", tone="new")
    odd = [again | ({"round_id": round_id} if round_id else {}), label(asked[2], "lea", None, kind="skip")]
    odd.append(label(asked[1], "lea", "tie", kind="adjudication", tone="same"))
    bring(workspace, folder, "labels", [*labels, *odd], "labels.jsonl")
    run = gating.begin(workspace, name)
    run_record.record(LocalDesk(workspace, "ada"), run.run_id, sources=[f"{name}.jsonl"])


def awq(workspace: Workspace, folder: Path) -> None:
    step(workspace, folder, "awq", drawn=True, judges=("haiku",), seed=1)


def gptq(workspace: Workspace, folder: Path) -> None:
    step(workspace, folder, "gptq", drawn=False, judges=("haiku", "opus"), seed=2)


STEPS: dict[str, Callable[[Workspace, Path], None]] = {"awq": awq, "gptq": gptq}
# What is not about a run's facts: numbers of runs and rounds, when its part was recorded, a hash over row numbers, and
# that of the workspace's adversarial set.
APART = re.compile(
    r"^/(date|compared/(run|rounds/\d+)/number|compared/run/parts/\d+/recorded_at|parity/evidence|adversarial/head)$|^/reproduce"
)


def leaves(document: Any, where: str = "") -> dict[str, Any]:
    """Every value of a document by its pointer, but for what is APART."""
    if APART.search(where):
        return {}
    if not isinstance(document, dict | list) or not document:
        return {where: document}
    known = cast("dict[str, Any] | list[Any]", document)
    parts: Any = known.items() if isinstance(known, dict) else enumerate(known)
    return {path: value for key, each in parts for path, value in leaves(each, f"{where}/{key}").items()}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A database with both steps and a run of benchmarks alone, and one database of each step; nobody changes them."""
    with ExitStack() as stack:
        found: dict[str, Workspace] = {}
        for name, held in (("all", ("awq", "gptq")), ("awq", ("awq",)), ("gptq", ("gptq",))):
            folder = tmp_path_factory.mktemp(name)
            workspace = open_workspace(settings.load(folder / "review.duckdb"))
            stack.callback(workspace.close)
            for each in held:
                STEPS[each](workspace, folder)
            found[name] = workspace
        run = gating.begin(found["all"], "bench")
        gating.add(found["all"], run, "benchmark", "gsm8k", gating.outcomes(gating.spread(90, 4, 6)))
        yield found


@pytest.fixture(scope="module")
def everything(steps: dict[str, Workspace]) -> dict[str, Any]:
    """The report about both steps together."""
    return made(steps["all"])


@pytest.mark.parametrize("name", ["awq", "gptq"])
def test_a_step_beside_others_has_the_report_it_has_alone(
    steps: dict[str, Workspace], everything: dict[str, Any], name: str
) -> None:
    beside, alone = made(steps["all"], run=name), made(steps[name], run=name)
    assert leaves(beside) == leaves(alone)
    page = html.page(beside)
    assert page.count(OWN) == 3
    assert html.markdown(beside).count(OWN) == 3
    # It says something in each of the sections, and not what is said of the whole database.
    judges = beside["agreement"]["judges"]
    assert judges[0]["n"] > 10
    assert [each["judge"] for each in judges] == (["haiku"] if name == "awq" else ["haiku", "opus"])
    assert beside["tone"]["people"]["n"] > 10
    assert beside["tone"]["disagreements"]["of"] < SIZE < everything["tone"]["disagreements"]["of"]
    assert beside["calibration"]["old"]["n"] > 10
    assert beside["calibration"]["shift"]["n"] > 10
    for section in ("agreement", "tone", "calibration", "parity"):
        assert leaves(beside[section]) != leaves(everything[section])
    # awq's labels belong to a round and can be weighted; gptq's came in without one and never are.
    weighted = judges[0]["population"]
    if name == "awq":
        assert "value" in weighted["raw"]
        assert weighted["pairs"] == beside["compared"]["rounds"][0]["disagreement"]
    else:
        assert "no drawn round" in weighted["reason"]


def test_the_sections_agree_with_the_gate(steps: dict[str, Workspace]) -> None:
    document = made(steps["all"], run="gptq")
    terms = Terms()
    labels = gate_labels.labels_of(steps["all"], ("gptq.jsonl",), terms)
    gated = gate_labels.judge_rows(labels, ("haiku", "opus"), terms, terms.alpha)
    for each, said in zip(gated, document["agreement"]["judges"], strict=True):
        assert (each.id, each.to_json()["estimate"]["n"]) == (said["judge"], said["n"])  # type: ignore[index]  # a dict
        assert each.to_json()["estimate"]["value"] == pytest.approx(said["raw"]["value"], rel=1e-8)  # type: ignore[index]  # a dict
    assert len(labels.tone) == document["tone"]["people"]["n"]
    assert -labels.tone.mean() == pytest.approx(document["tone"]["people"]["old_minus_new"]["value"], rel=1e-8)
    changes = labels.changes
    assert changes.brier.mean() == pytest.approx(document["calibration"]["difference"]["brier"]["value"], rel=1e-8)
    assert changes.certainty.mean() == pytest.approx(document["calibration"]["shift"]["net"]["value"], rel=1e-8)


def test_a_run_of_benchmarks_alone_shows_no_labels_of_others(steps: dict[str, Workspace]) -> None:
    document = made(steps["all"], run="bench")
    assert document["agreement"]["judges"] == []
    assert set(document["agreement"]["labels"].values()) == {0}
    assert document["agreement"]["humans"]["pairs"] == 0
    assert (document["tone"]["people"]["n"], document["tone"]["disagreements"]["of"]) == (0, 0)
    assert "old" not in document["calibration"]
    assert document["calibration"]["shift"]["n"] == 0
    for text in (html.page(document), html.markdown(document)):
        assert text.count((NO_TRAFFIC + UNLABELLED).strip()) == 3
        assert OWN not in text


def test_the_command_of_the_report_gives_its_agreement_again(steps: dict[str, Workspace], tmp_path: Path) -> None:
    document = made(steps["all"], run="awq")
    command = next(each for each in document["reproduce"]["commands"] if each.startswith("review agreement"))
    assert command == f"review agreement --json --run {document['scope']['id']}"
    asked = {"run": "awq", "round_id": None}
    again = operations.agreement(steps["all"], Call(asked, None, "ada", NOW)).document
    assert leaves(report.report_parts.plain(again)) == leaves(document["agreement"])
    refused = run_cli(tmp_path / "none.duckdb", "agreement", "--run", "awq", "--round", "x")
    assert (refused.returncode, "not both" in refused.stderr) == (1, True)


def test_a_run_whose_traffic_nobody_labelled_says_so(workspace: Workspace, tmp_path: Path) -> None:
    sides = {"old": {"content": "one"}, "new": {"content": "two"}}
    for name in ("mine", "other"):
        messages = [{"role": "user", "content": "Ask"}]
        pairs = [{"pair_id": name, "prompt_id": "p", "messages": messages, **sides}]
        bring(workspace, tmp_path, "pairs", pairs, f"{name}.jsonl")
    bring(workspace, tmp_path, "verdicts", [verdict("mine", "old"), verdict("other", "old")], "verdicts.jsonl")
    bring(workspace, tmp_path, "labels", [label("other", "ana", "old", tone="old")], "labels.jsonl")
    run = gating.begin(workspace)
    run_record.record(LocalDesk(workspace, "ada"), run.run_id, sources=["mine.jsonl"])
    document = made(workspace, run="awq")
    assert [(each["judge"], each["n"]) for each in document["agreement"]["judges"]] == [("judge", 0)]
    assert document["tone"]["disagreements"]["of"] == 1
    page = html.page(document)
    assert (page.count(UNLABELLED), page.count(NO_TRAFFIC)) == (3, 0)


def test_the_wording_of_a_round_is_said_to_be_that_of_all(steps: dict[str, Workspace]) -> None:
    (round_id,) = agreement.round_names(steps["awq"])
    document = made(steps["awq"], round_id=round_id)
    assert html.page(document).count(ALL_WORDING) == 1
    assert OWN not in html.page(document)

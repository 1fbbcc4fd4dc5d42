"""Outputs of lm-evaluation-harness into a run: compared document by document, refused by name, never twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from review import settings
from review.cli import main
from review.services import runs
from review.services.workspace import open_workspace
from tests.harness import WRITTEN, Doc, Fake, write_output

EM = "exact_match,none"


def invoke(db: Path, *arguments: str | Path, code: int = 0) -> Result:
    found = CliRunner().invoke(main, [*map(str, arguments), "--db", str(db)])
    assert found.exit_code == code, found.output
    return found


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database in which a run is begun; each test works on a copy."""
    folder = tmp_path_factory.mktemp("begun")
    start = ("run", "start", "awq", "--step", "quantization", "--old", "model=base", "--new", "model=awq")
    invoke(folder / "r.duckdb", *start)
    return folder


@pytest.fixture
def db(begun: Path, tmp_path: Path) -> Path:
    for file in begun.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / "r.duckdb"


def sums(right: Sequence[int], name: str = "sums", **changes: Any) -> Fake:
    """Additions of which the documents named by `right` have 1 and the others 0."""
    docs = [
        Doc(f"What is {at} + {at}?", str(2 * at), str(2 * at) if one else "7, I think", {EM: float(one)})
        for at, one in enumerate(right)
    ]
    return Fake(name, docs, **changes)


def both(tmp_path: Path, old: Sequence[Fake], new: Sequence[Fake], **how: Any) -> tuple[Path, Path]:
    return write_output(tmp_path / "old", "base", old, **how), write_output(tmp_path / "new", "awq", new, **how)


def report(db: Path, *arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke(db, "import", "lm-eval", *arguments, "--run", "awq", "--json").stdout)
    return found


def metric_of(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in entry["metrics"] if each["metric"] == name)


def stored(db: Path) -> tuple[list[dict[str, Any]], list[Any]]:
    """The run's outcomes and parts."""
    with closing(open_workspace(settings.load(db))) as workspace:
        run = runs.get(workspace, "awq").run_id
        return runs.outcomes(workspace, run).to_pylist(), runs.parts(workspace, run)


def test_every_document_becomes_an_outcome_and_ours_equals_the_harness_own_value(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 1, 1, 0, 1, 0])], [sums([1, 0, 1, 0, 1, 1])])
    task = report(db, old, new)["tasks"][0]
    seen = metric_of(task, "exact_match")
    assert seen["old"]["value"] == pytest.approx(seen["reported"]["old"]) == pytest.approx(4 / 6)
    assert seen["new"]["value"] == pytest.approx(seen["reported"]["new"])
    assert seen["difference"]["value"] == 0
    assert seen["difference"]["low"] < 0 < seen["difference"]["high"]
    assert (task["documents"], task["pairs"]) == (6, 2)
    outcomes, parts = stored(db)
    assert [(each["old"], each["new"]) for each in outcomes] == [(1, 1), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1)]
    assert all(each["example_id"].startswith(f"sums:{at}:") for at, each in enumerate(outcomes))
    assert [each["same"] for each in outcomes] == [True, False, True, True, True, False]
    assert (parts[0].evidence, parts[0].part, parts[0].detail["primary"]) == ("benchmark", "sums", "exact_match")
    assert parts[0].source == "benchmark:awq:sums"


def test_benchmarks_count_by_the_length_of_what_was_sent(db: Path, tmp_path: Path) -> None:
    docs = [Doc("word " * (characters // 5), "2", "2", {EM: 1.0}) for characters in (100, 20_000, 200_000)]
    longs = Fake("longs", docs)
    folders = both(tmp_path, [longs], [longs])
    report(db, *folders)
    outcomes, parts = stored(db)
    assert [each["prompt_tokens"] for each in outcomes] == [25, 5000, 50_000]
    assert parts[0].detail["prompt_tokens"]["estimated"] == 3
    shown = json.loads(invoke(db, "run", "show", "awq", "--json").stdout)["long_context"]
    assert [(each["name"], each["n"]) for each in shown["buckets"] if each["n"]] == [
        ("under 4k", 1),
        ("4k to 16k", 1),
        ("over 32k", 1),
    ]


def test_disagreements_are_read_by_people_and_draws_of_traffic_never_see_them(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 1, 0, 1])], [sums([1, 0, 1, 1])])
    report(db, old, new)
    pairs = tmp_path / "pairs.jsonl"
    invoke(db, "export", "pairs", "-o", pairs)
    first, second = sorted(
        map(json.loads, pairs.read_text().splitlines()), key=lambda each: each["metadata"]["document"]
    )
    assert first["messages"] == [{"role": "user", "content": "What is 1 + 1?"}]
    assert first["reference"] == "2"
    assert (first["old"]["content"], first["old"]["correct"], first["old"]["model"]) == ("2", True, "base")
    assert (first["new"]["content"], first["new"]["correct"], first["new"]["model"]) == ("7, I think", False, "awq")
    assert (second["old"]["correct"], second["new"]["correct"]) == (False, True)
    by_document = {each["example_id"].split(":")[1]: each["pair_id"] for each in stored(db)[0]}
    assert by_document == {"0": None, "1": first["pair_id"], "2": second["pair_id"], "3": None}
    refused = invoke(db, "draw", "--size", "2", "--seed", "1", code=1)
    assert "error" in refused.output
    invoke(db, "draw", "--size", "2", "--seed", "1", "--source", "benchmark:awq:sums")


def test_importing_twice_changes_nothing_and_other_answers_are_refused(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 1, 0])], [sums([1, 0, 1])])
    report(db, old, new)
    before = stored(db)
    assert report(db, old, new)["tasks"][0]["stood"] is True
    assert stored(db) == before
    other = sums([1, 0, 1])
    changed = replace(other, docs=[replace(other.docs[0], response="0, of course"), *other.docs[1:]])
    again = write_output(tmp_path / "again", "awq", [changed])
    refused = invoke(db, "import", "lm-eval", old, again, "--run", "awq", code=1)
    assert "never overwritten" in refused.output
    assert stored(db) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2.0}, "sums: version: 1.0 in OLD, 2.0 in NEW"),
        ({"shots": 5}, "sums: num_fewshot: 0 in OLD, 5 in NEW"),
        ({"filters": ("strict-match",)}, "sums: filter: none in OLD, strict-match in NEW"),
        ({"output_type": "multiple_choice"}, "sums: output_type: generate_until in OLD, multiple_choice in NEW"),
    ],
)
def test_a_task_that_was_put_otherwise_is_refused_by_name(
    db: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    old, new = both(tmp_path, [sums([1, 0, 1])], [replace(sums([1, 0, 1]), **change)])
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", "--common", code=1)
    assert said in refused.output
    assert stored(db) == ([], [])


def test_a_filter_of_the_same_name_that_does_something_else_is_refused(db: Path, tmp_path: Path) -> None:
    docs = [replace(each, values={"exact_match,get": each.values[EM]}) for each in sums([1, 0, 1]).docs]
    task = Fake("sums", docs, filters=("get",))
    old, new = both(tmp_path, [task], [replace(task, regex="(.*)")])
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", code=1)
    assert "sums: filter get: " in refused.output


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": "Wie viel ist 2 + 2?", "doc": {"question": "What is 2 + 2?"}}, "prompt_hash"),
        ({"target": "4.0", "doc": {"answer": "4"}}, "target_hash"),
        ({"doc": {"source": "elsewhere"}}, "doc_hash"),
    ],
)
def test_other_documents_prompts_and_targets_are_refused_by_hash_and_never_by_text(
    db: Path, tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    task = sums([1, 0, 1, 1])
    docs = [*task.docs[:2], replace(task.docs[2], **change), task.docs[3]]
    old, new = both(tmp_path, [task], [replace(task, docs=docs)])
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", "--common", code=1)
    assert f"sums: {field} of document 2: " in refused.output
    assert "Wie viel" not in refused.output
    assert "What is" not in refused.output


def test_missing_documents_are_counted_and_left_out_only_when_asked(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 0, 1, 1])], [sums([1, 1])])
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", code=1)
    assert (
        "sums: documents: 4, 2 of them missing on the other side in OLD, 2, 0 of them missing in NEW" in refused.output
    )
    assert "--common" in refused.output
    task = report(db, old, new, "--common")["tasks"][0]
    assert (task["documents"], task["only_old"], task["only_new"]) == (2, 2, 0)
    detail = stored(db)[1][0].detail
    assert (detail["documents"], detail["only_old"], detail["only_new"]) == (2, 2, 0)


def test_tasks_of_one_side_alone_are_refused_or_told(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 0, 1]), sums([1, 0, 1], "more")], [sums([1, 1, 1])])
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", code=1)
    assert "more: task: there in OLD, not there in NEW" in refused.output
    found = report(db, old, new, "--common")
    assert [each["task"] for each in found["tasks"]] == ["sums"]
    assert "OLD alone has 1 tasks, which are left out: more" in found["notes"]


def test_the_newest_of_several_results_is_taken_and_said(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([0, 0, 0])], [sums([1, 1, 1])])
    write_output(tmp_path / "old", "base", [sums([1, 0, 1])], written="2026-11-21T09-00-00.000001")
    # Newer, and without samples: not what can be compared.
    (tmp_path / "old" / "base" / "results_2026-11-22T09-00-00.json").write_text(
        json.dumps({"results": {}, "configs": {}})
    )
    found = report(db, old, new)
    assert metric_of(found["tasks"][0], "exact_match")["old"]["value"] == pytest.approx(2 / 3)
    assert "sums: 2 results in OLD; those of 2026-11-21T09-00-00.000001 are taken" in found["notes"]


def test_a_folder_of_two_models_is_refused(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([0, 1, 0])], [sums([1, 1, 1])])
    write_output(tmp_path / "old", "other", [sums([1, 0, 1])])
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", code=1)
    assert "results of 2 models for sums" in refused.output
    assert metric_of(report(db, old / "base", new)["tasks"][0], "exact_match")["old"]["value"] == pytest.approx(1 / 3)


def test_results_that_their_samples_do_not_give_are_refused(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 0, 1])], [sums([1, 1, 1])])
    file = new / "awq" / f"results_{WRITTEN}.json"
    document = json.loads(file.read_text())
    document["results"]["sums"][EM] = 0.5
    file.write_text(json.dumps(document))
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", code=1)
    assert "report exact_match 0.500000" in refused.output
    assert "3 samples give 1.000000" in refused.output


MMLU = "exact_match,custom-extract"


def mmlu(name: str, right: Sequence[int]) -> Fake:
    """A subtask of mmlu_pro: generated reasoning, the letter extracted, five shots."""
    docs = [
        Doc(f"{name} question {at}?\nAnswer: Let's think step by step.", "B", "The answer is (B)", {MMLU: float(one)})
        for at, one in enumerate(right)
    ]
    return Fake(name, docs, version=3.1, shots=5, filters=("custom-extract",))


@pytest.mark.parametrize("by_size", [True, False])
def test_a_group_is_summed_up_as_the_harness_does(db: Path, tmp_path: Path, by_size: bool) -> None:
    names = ["mmlu_pro_law", "mmlu_pro_math"]
    before, after = (
        [mmlu(names[0], [1, 1, 0, 1, 0, 1, 1, 1]), mmlu(names[1], [1, 0, 1])],
        [
            mmlu(names[0], [1, 0, 0, 1, 0, 1, 1, 1]),
            mmlu(names[1], [1, 1, 1]),
        ],
    )
    old, new = both(tmp_path, before, after, groups={"mmlu_pro": names}, by_size=by_size)
    group = report(db, old, new)["groups"][0]
    seen = metric_of(group, "exact_match,custom-extract")
    assert (group["group"], seen["weight_by_size"]) == ("mmlu_pro", by_size)
    assert seen["old"] == pytest.approx(seen["reported"]["old"])
    assert seen["new"] == pytest.approx(seen["reported"]["new"])
    assert seen["difference"]["value"] == pytest.approx(seen["reported"]["new"] - seen["reported"]["old"])
    assert seen["difference"]["n"] == 11
    assert {each.part: each.detail["groups"] for each in stored(db)[1]} == {key: ["mmlu_pro"] for key in names}


def test_a_group_and_our_own_names_choose_tasks(db: Path, tmp_path: Path) -> None:
    names = ["mmlu_pro_law", "mmlu_pro_math"]
    tasks = [*(mmlu(each, [1, 0, 1]) for each in names), sums([1, 0, 1])]
    old, new = both(tmp_path, tasks, tasks, groups={"mmlu_pro": names})
    found = report(db, old, new, "--tasks", "mmlu_pro", "--map-task", "knowledge=mmlu_pro")
    assert [(each["task"], each["as"]) for each in found["tasks"]] == [(each, "knowledge") for each in names]
    assert {each["task"] for each in stored(db)[0]} == {"knowledge"}
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", "--tasks", "gsm8k", code=1)
    assert "no samples of gsm8k" in refused.output


def ifeval(followed: Sequence[Sequence[bool]]) -> Fake:
    docs = [
        Doc(
            f"Write {at} without commas.",
            "0",
            "as you wish",
            {
                "prompt_level_strict_acc,none": all(each),
                "inst_level_strict_acc,none": list(each),
                "prompt_level_loose_acc,none": any(each),
                "inst_level_loose_acc,none": [True] * len(each),
            },
        )
        for at, each in enumerate(followed)
    ]
    return Fake("ifeval", docs, version=4.0, doc_to_target=0)


def test_ifeval_is_counted_by_instruction_and_its_target_is_not_shown(db: Path, tmp_path: Path) -> None:
    old, new = both(
        tmp_path, [ifeval([[True, False], [True], [True, True]])], [ifeval([[True, True], [False], [True, True]])]
    )
    task = report(db, old, new)["tasks"][0]
    strict = metric_of(task, "inst_level_strict_acc")
    assert strict["old"]["value"] == pytest.approx(4 / 5) == pytest.approx(strict["reported"]["old"])
    assert (strict["difference"]["n"], strict["difference"]["clusters"]) == (5, 3)
    assert task["pairs"] == 2
    outcomes, parts = stored(db)
    first = {
        each["metric"]: (each["old"], each["new"]) for each in outcomes if each["example_id"].startswith("ifeval:0:")
    }
    assert first["inst 1"] == (1, 1)
    assert first["inst 2"] == (0, 1)
    assert first["prompt_level_strict_acc"] == (0, 1)
    assert {"loose inst 1", "loose inst 2"} <= set(first)
    assert parts[0].detail["metrics"]["inst_level_strict_acc"]["outcomes"] == ["inst 1", "inst 2"]
    pairs = tmp_path / "pairs.jsonl"
    invoke(db, "export", "pairs", "-o", pairs)
    assert all("reference" not in json.loads(each) for each in pairs.read_text().splitlines())


def gpqa(chosen: Sequence[str], *, long: bool = False) -> Fake:
    """Zero-shot GPQA: four choices, the right one always (B); acc_norm divides by the choice's length."""
    texts = ["short", "rather longer", "long", "longest of them all"] if long else ["(A)", "(B)", "(C)", "(D)"]
    docs = [
        Doc(
            f"What is the correct answer to this question: {at}?\nAnswer:",
            "1" if long else "(B)",
            "",
            {"acc,none": float(letter == "B"), "acc_norm,none": float(letter == "B")},
            choices=[(text, -1.0 if "ABCD"[place] == letter else -9.0) for place, text in enumerate(texts)],
        )
        for at, letter in enumerate(chosen)
    ]
    return Fake("gpqa_main_zeroshot", docs, version=2.2, output_type="multiple_choice")


@pytest.mark.parametrize(
    ("long", "old_answer", "new_answer"),
    [(False, "(B)", "(C)"), (True, "(B) rather longer", "(C) long")],
)
def test_a_choice_is_shown_as_its_letter(
    db: Path, tmp_path: Path, long: bool, old_answer: str, new_answer: str
) -> None:
    old, new = both(tmp_path, [gpqa(["B", "A", "B"], long=long)], [gpqa(["C", "A", "B"], long=long)])
    task = report(db, old, new)["tasks"][0]
    assert [(each["metric"], each["primary"]) for each in task["metrics"]] == [("acc", True), ("acc_norm", False)]
    assert task["pairs"] == 1
    pairs = tmp_path / "pairs.jsonl"
    invoke(db, "export", "pairs", "-o", pairs)
    pair = json.loads(pairs.read_text())
    assert (pair["old"]["content"], pair["new"]["content"], pair["reference"]) == (old_answer, new_answer, old_answer)


def test_older_versions_that_do_not_name_filters_are_read_in_their_order(db: Path, tmp_path: Path) -> None:
    docs = [
        Doc(f"{at}?", "1", "1", {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": float(at % 2)})
        for at in range(4)
    ]
    task = Fake("gsm8k", docs, filters=("strict-match", "flexible-extract"))
    old, new = both(tmp_path, [task], [task], named_filters=False, harness=None)
    seen = report(db, old, new)["tasks"][0]
    assert metric_of(seen, "exact_match,strict-match")["old"]["value"] == 0
    assert metric_of(seen, "exact_match,flexible-extract")["old"]["value"] == 0.5


def test_metrics_that_are_no_share_of_right_answers_are_left_out_and_said(db: Path, tmp_path: Path) -> None:
    docs = [Doc(f"{at}?", "1", "1", {EM: 1.0, "bleu,none": 40.0 + at, "toxicity,none": 0.1}) for at in range(3)]
    task = Fake("mixed", docs, lower=["toxicity,none"])
    old, new = both(tmp_path, [task], [task])
    seen = report(db, old, new)["tasks"][0]
    assert [each["metric"] for each in seen["metrics"]] == ["exact_match"]
    assert seen["left_out"] == {"bleu": "values are no numbers from 0 to 1", "toxicity": "less is better"}


def test_an_aggregation_that_is_no_mean_is_said_and_documents_are_compared(db: Path, tmp_path: Path) -> None:
    task = replace(sums([1, 0, 1]), means=False)
    old, new = both(tmp_path, [task], [task])
    for folder in (old / "base", new / "awq"):
        file = folder / f"results_{WRITTEN}.json"
        document = json.loads(file.read_text())
        document["results"]["sums"][EM] = 0.25
        file.write_text(json.dumps(document))
    assert "0.2500, which is no mean" in report(db, old, new)["tasks"][0]["notes"][0]


def test_a_chat_prompt_becomes_messages(db: Path, tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]

    def task(right: float) -> Fake:
        docs = [Doc(f"{at}?", "2", f"answer {right}", {EM: right if at == 0 else 1.0}) for at in range(3)]
        return Fake("chat", docs)

    folders = both(tmp_path, [task(1.0)], [task(0.0)])
    for file in [path for folder in folders for path in folder.rglob("samples_*.jsonl")]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            # As the harness writes its own class of chat, a tuple with one text.
            line["arguments"]["gen_args_0"]["arg_0"] = [json.dumps(chat)]
        file.write_text("\n".join(map(json.dumps, lines)))
    report(db, *folders)
    pairs = tmp_path / "pairs.jsonl"
    invoke(db, "export", "pairs", "-o", pairs)
    assert json.loads(pairs.read_text())["messages"] == chat


def test_pii_is_stripped_on_this_way_in_too(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("eval_config:\n  replay: {strip_pii: true}\n")
    monkeypatch.setenv("REVIEW_CONFIG", str(config))

    def task(right: float) -> Fake:
        docs = [
            Doc("Whom do I write to?", "ada", f"{right}: to ada.lovelace@example.org", {EM: right}),
            *(Doc(f"{at}?", "1", "1", {EM: 1.0}) for at in range(2)),
        ]
        return Fake("mail", docs)

    report(db, *both(tmp_path, [task(1.0)], [task(0.0)]))
    pairs = tmp_path / "pairs.jsonl"
    invoke(db, "export", "pairs", "-o", pairs)
    assert "Whom do I write to?" in pairs.read_text()
    assert "ada.lovelace" not in pairs.read_text()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda folder: None, "no results_*.json"),
        (lambda folder: (folder / "results.json").write_text("{}"), "0.4.3 or later"),
        (lambda folder: (folder / f"results_{WRITTEN}.json").write_text("{"), "cannot be read as JSON"),
        (lambda folder: (folder / f"results_{WRITTEN}.json").write_text("[]"), 'has no "results"'),
        (
            lambda folder: (folder / f"results_{WRITTEN}.json").write_text(
                '{"results": {}, "lm_eval_version": "0.5.0"}'
            ),
            "written by lm_eval 0.5.0",
        ),
        (
            lambda folder: (folder / f"results_{WRITTEN}.json").write_text(
                '{"results": {"a": {}}, "configs": {"a": {}}}'
            ),
            "--log_samples",
        ),
    ],
)
def test_folders_that_hold_nothing_to_compare_say_what_to_do(db: Path, tmp_path: Path, write: Any, said: str) -> None:
    old, _ = both(tmp_path, [sums([1, 0, 1])], [sums([1, 0, 1])])
    empty = tmp_path / "empty"
    empty.mkdir()
    write(empty)
    assert said in invoke(db, "import", "lm-eval", old, empty, "--run", "awq", code=1).output


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"doc_id": 0}', '{"doc_id": "0", "doc_hash": "a", "prompt_hash": "b", "target_hash": "c"}'],
)
def test_a_line_that_is_no_sample_is_named_and_never_quoted(db: Path, tmp_path: Path, line: str) -> None:
    old, new = both(tmp_path, [sums([1, 0, 1])], [sums([1, 0, 1])])
    file = new / "awq" / f"samples_sums_{WRITTEN}.jsonl"
    file.write_text(file.read_text() + line + "\n")
    refused = invoke(db, "import", "lm-eval", old, new, "--run", "awq", code=1)
    assert f"{file.name} line 4: " in refused.output


def test_the_command_says_what_it_needs(db: Path, tmp_path: Path) -> None:
    old, new = both(tmp_path, [sums([1, 0, 1])], [sums([1, 0, 1])])
    assert "review run start" in invoke(db, "import", "lm-eval", old, new, code=2).output
    assert "two folders" in invoke(db, "import", "lm-eval", old, "--run", "awq", code=2).output
    assert "for lm-eval" in invoke(db, "import", "pairs", old, "--run", "awq", code=2).output
    assert "review run list" in invoke(db, "import", "lm-eval", old, new, "--run", "gptq", code=1).output
    shown = invoke(db, "import", "lm-eval", old, new, "--run", "awq").output
    assert "sums  exact_match: old 0.6667  new 0.6667  difference 0.000 (" in shown
    assert "3 documents, 0 disagreements to read" in shown

"""Makes tests/golden/lm_eval: what the real harness writes for its own mmlu_pro, bbh, ifeval and gpqa, a few documents.

`python -m tests.golden.make_lm_eval`. The task files are the harness's own, with their data set replaced by ours. What
is generated comes from the two small model servers of the tests (folders old and new). No server here gives the
log-likelihoods that multiple choice needs, so those come from the harness's `dummy` model, which draws them at random
(folders seed0 and seed7, by the seed; GPQA shuffles its choices with it too, but `datasets` keeps the first shuffle).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests import harness
from tests.servers import NEW, OLD, served

HERE = Path(__file__).resolve().parent / "lm_eval"
GROUPS = """group: {name}
task: [{tasks}]
aggregate_metric_list: [{{metric: exact_match, aggregation: mean, weight_by_size: true, filter_list: {through}}}]
metadata: {{version: 2.0}}
"""


def rows(name: str, documents: list[dict[str, Any]], folder: Path) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents))


def mmlu(category: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "question_id": at,
            "question": f"How many cells come of {2 + at} cells that divide once?",
            "options": [str(2 + at), str(2 * (2 + at)), str(4 * (2 + at))],
            "answer": "B",
            "answer_index": 1,
            "cot_content": "A: Let's think step by step. Each gives two. The answer is (B).",
            "category": category,
        }
        for at in range(count)
    ]


def main() -> None:
    python = harness.provide()
    own = next(python.parent.parent.glob("lib/python*/site-packages/lm_eval/tasks"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = folder / "tasks"
        tasks.mkdir()
        kinds = {"biology": 4, "law": 2}
        rows("mmlu", [row for kind, count in kinds.items() for row in mmlu(kind, count)], folder)
        bbh = [{"input": f"not ( {one} ) is", "target": str(not one)} for one in (True, False, True)]
        rows("bbh", bbh, folder)
        asked = [
            (
                "Describe the sea. Use no commas and only lower case.",
                ["punctuation:no_comma", "change_case:english_lowercase"],
            ),
            ("Describe the sun. Use no commas.", ["punctuation:no_comma"]),
            ("Describe the moon in all capital letters.", ["change_case:english_capital"]),
        ]
        follow = [
            {"key": at, "prompt": prompt, "instruction_id_list": names, "kwargs": [{} for _ in names]}
            for at, (prompt, names) in enumerate(asked)
        ]
        rows("ifeval", follow, folder)
        wrong = {f"Incorrect Answer {at}": f"{at} apples" for at in (1, 2, 3)}
        rows(
            "gpqa", [{"Question": f"Which? ({at})", "Correct Answer": "no apples", **wrong} for at in range(6)], folder
        )
        rows(
            "arc",
            [{"question": f"Pick {at}", "choices": ["red", "green", "blue"], "answer": at % 3} for at in range(8)],
            folder,
        )
        for kind in kinds:
            write(tasks, f"own_mmlu_pro_{kind}", own / f"mmlu_pro/mmlu_pro_{kind}.yaml", test="mmlu", validation="mmlu")
        for which in ("boolean_expressions", "navigate"):
            write(tasks, f"own_bbh_{which}", own / f"bbh/cot_zeroshot/{which}.yaml", test="bbh")
        write(tasks, "own_ifeval", own / "ifeval/ifeval.yaml", train="ifeval")
        write(tasks, "own_gpqa", own / "gpqa/zeroshot/_gpqa_zeroshot_yaml", train="gpqa")
        write(tasks, "own_gpqa_cot", own / "gpqa/cot_zeroshot/_gpqa_cot_zeroshot_yaml", train="gpqa")
        (tasks / "own_arc.yaml").write_text(
            "task: own_arc\ndataset_path: json\ndataset_kwargs: {data_files: {test: arc.jsonl}}\ntest_split: test\n"
            'output_type: multiple_choice\ndoc_to_text: "{{question}}"\ndoc_to_choice: choices\ndoc_to_target: answer\n'
            "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}, "
            "{metric: acc_norm, aggregation: mean, higher_is_better: true}]\nmetadata: {version: 1.0}\n"
        )
        for group, names, through in (
            ("own_mmlu_pro", [f"own_mmlu_pro_{kind}" for kind in kinds], "custom-extract"),
            ("own_bbh", ["own_bbh_boolean_expressions", "own_bbh_navigate"], "flexible-extract"),
        ):
            text = GROUPS.format(name=group, tasks=", ".join(names), through=through)
            (tasks / f"{group}.yaml").write_text(text)
        shutil.rmtree(HERE, ignore_errors=True)
        with served(OLD, folder) as old, served(NEW, folder) as new:
            for side, server in (("old", old), ("new", new)):
                reached = {"model": side, "base_url": f"{server.url}/chat/completions", "num_concurrent": 4}
                short = {"max_gen_toks": 48}
                run(python, folder, side, "own_mmlu_pro,own_bbh,own_ifeval,own_gpqa_cot", 0, reached, short)
        for seed in (0, 7):
            run(python, folder, f"seed{seed}", "own_gpqa,own_arc", seed, None, {})


def write(tasks: Path, name: str, included: Path, **files: str) -> None:
    """One of the harness's tasks on a data set of ours."""
    splits = ", ".join(f"{split}: {file}.jsonl" for split, file in files.items())
    (tasks / f"{name}.yaml").write_text(
        f"include: {included}\ntask: {name}\ntag: null\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {{{splits}}}}}\n" + ("num_fewshot: 1\n" if "validation" in files else "")
    )


def run(
    python: Path, folder: Path, side: str, tasks: str, seed: int, reached: dict[str, Any] | None, gen: dict[str, Any]
) -> None:
    config: dict[str, Any] = {
        "model": "dummy" if reached is None else "local-chat-completions",
        "model_args": reached or {},
        "tasks": tasks.split(","),
        "include_path": "tasks",
        "output_path": f"out/{side}",
        "log_samples": True,
        "apply_chat_template": reached is not None,
        "gen_kwargs": gen,
        "seed": [seed, 1234, 1234, 1234],
    }
    (folder / "config.json").write_text(json.dumps(config))
    command = [str(python), "-m", "lm_eval", "run", "--config", "config.json"]
    environment = os.environ | {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    shutil.copytree(next((folder / "out" / side).iterdir()), HERE / side)


if __name__ == "__main__":
    main()

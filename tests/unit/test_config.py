"""The configuration: the agreed block is accepted, a mistake is named with what is legal, every key is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from review import settings
from review.cli import main
from review.domain.pipeline import Endpoint
from review.errors import BadSettings
from review.settings import EvalConfig
from tests.conftest import ROOT

AGREED = """eval_config:
  replay: {sample_size: 2000, window_days: 7, strip_pii: true, cluster_method: hdbscan, min_cluster_size: 15}
  judges: {structured: exact_match_with_arg_judge, freeform: pairwise_preference, judge_model: claude-sonnet-4-6}
  adversarial: {path: ./evals/adversarial_permanent.jsonl, weight: 3.0}
  gates: {regression_threshold: 0.02, adversarial_floor: 0.85}
"""


def check(folder: Path, text: str, *options: str) -> Result:
    file = folder / "eval_config.yaml"
    file.write_text(text)
    return CliRunner().invoke(main, ["config", "check", str(file), *options])


def test_the_agreed_block_is_accepted_as_it_stands(tmp_path: Path) -> None:
    done = check(tmp_path, AGREED, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["in_force"]["replay"]["sample_size"] == 2000
    read = settings.read_config(tmp_path / "eval_config.yaml")
    assert read.adversarial.path == str(tmp_path / "evals" / "adversarial_permanent.jsonl")


def test_it_says_what_is_in_force_and_what_is_a_default(tmp_path: Path) -> None:
    said = check(tmp_path, "eval_config:\n  replay: {window_days: 14}\n").stdout
    assert "  replay.window_days: 14\n" in said
    assert "  replay.sample_size: 2000  (default)\n" in said


ENDPOINT = "{base_url: 'http://x/v1', model: m}"


@pytest.mark.parametrize(
    ("block", "line", "expected"),
    [
        ("jugdes: {}", 2, "eval_config.jugdes is not a key (a section). Did you mean judges? Legal keys: rubric,"),
        ("replay: {sample_sice: 5}", 2, "replay.sample_sice is not a key (value: 5). Did you mean sample_size?"),
        ("replay:\n    window_days: 0", 3, "window_days is wrong (value: 0). Legal: a whole number from 1 to 3,650"),
        ("replay: {strip_pii: 'yes'}", 2, "strip_pii is wrong (value: 'yes'). Legal: true or false."),
        ("replay: {cluster_method: kmeans}", 2, "(value: 'kmeans'). Legal: hdbscan."),
        ("replay: {customer_share: 0}", 2, "Legal: a number above 0 to 1."),
        (
            "judges:\n    cache:\n      treshold: 1",
            4,
            "treshold is not a key (value: 1). Did you mean threshold?",
        ),
        ("judges:\n    providers:\n      - {name: a, model: m, base_url: x}", 4, "providers.0.base_url is wrong"),
        ("judges: {structured: exactly}", 2, "Legal: exact_match_with_arg_judge or exact_match."),
        (f"endpoints: {{old: {ENDPOINT}}}", 2, "endpoints.new is missing. It must be a section with keys from base_"),
        (f"endpoints:\n    old: {ENDPOINT}\n    new: {ENDPOINT[:-1]}, api: tgi}}", 4, "openai or anthropic"),
        ("gates: 7", 2, "gates is wrong (value: 7). Legal: a section with keys from regression_threshold"),
        ("contract: {task_tolerance: {refund: much}}", 2, "refund is wrong (value: 'much'). Legal: a number."),
        ("gates: {}\n  replay: {}\n  gates: {}", 4, "eval_config.gates stands twice"),
        ("gates: {", 3, "cannot be read as YAML"),
    ],
)
def test_a_mistake_at_any_depth_is_named_with_line_value_and_remedy(
    tmp_path: Path, block: str, line: int, expected: str
) -> None:
    done = check(tmp_path, f"eval_config:\n  {block}\n")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert f" line {line}: " in done.stderr
    assert expected in done.stderr
    with pytest.raises(BadSettings, match=re.escape(expected)):
        settings.read_config(tmp_path / "eval_config.yaml")


def test_all_mistakes_are_listed_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = "eval_config:\n  replay:\n    sample_size: none\n  adversarial: {weight: 0}\n  replays: {}\n"
    lines = check(tmp_path, text).stderr.splitlines()
    assert [re.findall(r"line (\d)", each) for each in lines] == [["3"], ["4"], ["5"]]
    with pytest.raises(BadSettings, match=r"and 2 more: review config check"):
        settings.read_config(tmp_path / "eval_config.yaml")


def test_a_key_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    secret = "sk-very-secret"
    block = f"endpoints: {{new: {ENDPOINT}, old: {{base_url: 'http://x/v1', model: m, api_key: {secret}}}}}"
    done = check(tmp_path, f"eval_config:\n  {block}\n")
    assert "api_key is not a key (value not shown). Did you mean api_key_env?" in done.stderr
    assert secret not in done.stderr


def sections(model: type[BaseModel] = EvalConfig) -> dict[str, list[str]]:
    """Every section with its own keys, by the dotted place; what endpoints and providers share, once."""
    found = {"": list(model.model_fields)}
    for name, field in model.model_fields.items():
        kinds = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
        for inner in (each for each in kinds if issubclass(each, BaseModel)):
            found |= {f"{name}.{place}".rstrip("."): keys for place, keys in sections(inner).items()}
    return found


def test_every_key_is_documented_in_the_file_and_in_the_readme() -> None:
    written = (ROOT / "data" / "eval_config.yaml").read_text()
    readme = (ROOT / "README.md").read_text().split("## Configuration\n")[1].split("\n## ")[0]
    assert {"endpoints.old.price", "judges.providers", "judges.cache", "failure_categories"} <= set(sections())
    for place, keys in sections().items():
        top = place.partition(".")[0]
        part = written.split(f"\n  {top}:")[-1].split(f"\n  # {top}:")[-1] if top else written
        part = re.split(r"\n\n", part)[0] if top not in ("", "endpoints") else part
        # A provider is an endpoint, and new has the keys of old.
        for key in set(keys) - (set(Endpoint.model_fields) if place == "judges.providers" else set()):
            assert re.search(rf"\b{key}:", part), f"{place}.{key} is not in data/eval_config.yaml"
            assert re.search(rf"`(\w+\.)*{key}(\.\w+)*`", readme), f"{place}.{key} is not in the README"


def test_the_file_that_comes_along_states_the_defaults() -> None:
    given = settings.read_config(ROOT / "data" / "eval_config.yaml").model_dump()
    default = EvalConfig().model_dump()
    for name in set(default) - {"rubric", "failure_categories"}:
        assert given[name] == default[name], name

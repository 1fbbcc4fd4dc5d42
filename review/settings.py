"""One settings object: where the database is, and what data/eval_config.yaml says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from review.domain.contract import Contract
from review.domain.legal import complain
from review.domain.pipeline import Embedding, Endpoints, Gates, Judges, Replay
from review.domain.rubric import DEFAULT_CATEGORIES, FailureCategory, Rubric
from review.domain.watch import Watch
from review.errors import BadSettings

Model = TypeVar("Model", bound=BaseModel)
ROOT = Path(__file__).resolve().parent.parent


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Adversarial(_Section):
    """The permanent adversarial set: the JSONL mirror's path, from this file's folder, and its weight in the gate."""

    path: str | None = None
    weight: float = Field(default=3.0, gt=0)


class EvalConfig(_Section):
    """The block `eval_config` of the configuration file."""

    rubric: Rubric = Rubric()
    failure_categories: tuple[FailureCategory, ...] = Field(default=DEFAULT_CATEGORIES, strict=False)
    adversarial: Adversarial = Adversarial()
    contract: Contract = Contract()
    replay: Replay = Replay()
    endpoints: Endpoints | None = None
    embedding: Embedding = Embedding()
    judges: Judges = Judges()
    gates: Gates = Gates()
    watch: Watch = Watch()


class Settings(BaseModel):
    """Where things are.

    Attributes:
        db: the database file.
        config: the evaluation's configuration.
        mirror: the JSONL mirror of the adversarial set.
        cache_file: answers of models and embeddings by their content, kept beside the database.
        api_file: where the running app says its address and the token of the command line, mode 0600.
        key_file: the secret beside the database from which ids and blinding are derived.
    """

    model_config = ConfigDict(frozen=True)

    db: Path
    config: EvalConfig

    @property
    def mirror(self) -> Path:
        named = self.config.adversarial.path
        return Path(named) if named else self.db.parent / "adversarial_permanent.jsonl"

    @property
    def cache_file(self) -> Path:
        return self.db.with_name(self.db.name + ".cache")

    @property
    def api_file(self) -> Path:
        return self.db.with_name(self.db.name + ".api")

    def unstripped(self) -> Settings:
        """The same, for data that hold no personal data: the demo's own."""
        replay = self.config.replay.model_copy(update={"strip_pii": False})
        return self.model_copy(update={"config": self.config.model_copy(update={"replay": replay})})

    @property
    def key_file(self) -> Path:
        return self.db.with_name(self.db.name + ".key")


def load(db: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from arguments, then the environment (REVIEW_DB, REVIEW_CONFIG), then the project's data folder.

    Raises:
        BadSettings: the configuration file is missing, unreadable or has an unknown key or wrong value.
    """
    config = Path(environ.get("REVIEW_CONFIG") or ROOT / "data" / "eval_config.yaml")
    return Settings(db=database(db, environ), config=read_config(config))


def database(db: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The database file alone, without a look at the configuration."""
    path = db or (Path(environ["REVIEW_DB"]) if environ.get("REVIEW_DB") else ROOT / "data" / "review.duckdb")
    return path.expanduser().resolve()


def read_config(path: Path) -> EvalConfig:
    """Read and check `path`. A relative path in it counts from its own folder.

    Raises:
        BadSettings: names the file, the line, the key, its value and what is legal; the first, if there are several.
    """
    config, problems = check_config(path)
    if config is None:
        more = f" (and {len(problems) - 1} more: review config check {path})" if len(problems) > 1 else ""
        raise BadSettings(problems[0] + more)
    adversarial = config.adversarial.model_copy(update={"path": _below(path, config.adversarial.path)})
    places = {name: _below(path, getattr(config.watch, name)) for name in ("folder", "file")}
    return config.model_copy(update={"adversarial": adversarial, "watch": config.watch.model_copy(update=places)})


def _below(config: Path, place: str | None) -> str | None:
    """A path of the configuration; a relative one counts from its file's folder."""
    if place is None or Path(place).expanduser().is_absolute():
        return place
    return str((config.parent / place).resolve())


def check_config(path: Path) -> tuple[EvalConfig | None, list[str]]:
    """What a file configures, or everything that is wrong with it, one sentence each, in the order of its lines."""
    return check_file(path, "eval_config", EvalConfig, "Correct it or set REVIEW_CONFIG.")


def check_file(path: Path, top: str, model: type[Model], remedy: str) -> tuple[Model | None, list[str]]:
    """What stands below the key `top` of a YAML file, or everything that is wrong with it, by its lines."""
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        tree = cast("yaml.Node | None", yaml.compose(text, Loader=yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        return None, [f"{path}: cannot be read ({type(error).__name__}). {remedy}"]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark is not None else ""
        return None, [f"{path}{place}: cannot be read as YAML. {remedy}"]
    lines: dict[tuple[str, ...], int] = {}
    twice = [f"{path} line {line}: {'.'.join(key)} stands twice. Keep one." for key, line in _walk(tree, (), lines)]
    if twice:
        return None, twice
    whole = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    block = whole.get(top)
    if not isinstance(block, dict):
        return None, [f'{path}: the top-level key "{top}" is missing, or is no section.']
    if beside := sorted(str(key) for key in whole if key != top):
        return None, [f"{path}: {', '.join(beside)} stands beside {top}; move it below {top}."]
    try:
        return model.model_validate(block), []
    except ValidationError as error:
        found: list[tuple[int, str]] = []
        for each in error.errors(include_url=False):
            key = (top, *(str(part) for part in each["loc"]))
            line = next(lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines)
            found.append((line, f"{path} line {line}: {complain(each, model, top)}"))
        return None, [problem for _, problem in sorted(found)]


def _walk(
    node: yaml.Node | None, key: tuple[str, ...], lines: dict[tuple[str, ...], int]
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Notes each key's line, and yields the keys that stand twice, of which YAML would quietly take the last."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = (*key, str(name.value))
            line = name.start_mark.line + 1
            if below in lines:
                yield below, line
            lines[below] = line
            yield from _walk(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            lines[(*key, str(place))] = value.start_mark.line + 1
            yield from _walk(value, (*key, str(place)), lines)

"""One settings object: where the database is, and what data/eval_config.yaml says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from review.domain.contract import Contract
from review.domain.pipeline import Embedding, Endpoints, Gates, Judges, Replay
from review.domain.rubric import DEFAULT_CATEGORIES, FailureCategory, Rubric
from review.errors import BadSettings

ROOT = Path(__file__).resolve().parent.parent


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Adversarial(_Section):
    """The permanent adversarial set: the JSONL mirror's path and the set's weight in the gate."""

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
    """Read and check `path`.

    Raises:
        BadSettings: names the file, the key, the value's problem and what is legal.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = f"cannot be read as YAML ({type(error).__name__})"
        raise BadSettings(f"{path}: {reason}. Correct it or set REVIEW_CONFIG.") from error
    top = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    block = top.get("eval_config")
    if not isinstance(block, dict):
        raise BadSettings(f'{path}: the top-level key "eval_config" is missing.')
    if beside := sorted(str(key) for key in top if key != "eval_config"):
        raise BadSettings(f"{path}: {', '.join(beside)} stands beside eval_config; move it below eval_config.")
    try:
        return EvalConfig.model_validate(block)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["eval_config", *(str(part) for part in first["loc"])])
        legal = f" Legal keys: {', '.join(EvalConfig.model_fields)}." if first["type"] == "extra_forbidden" else ""
        raise BadSettings(f"{path}: {key}: {first['msg']} (value: {str(first['input'])[:60]!r}).{legal}") from error

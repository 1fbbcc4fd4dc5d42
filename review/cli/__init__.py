"""The command line: parse, call one service, print. One module a family of verbs."""

from review.cli import (
    adversarial,
    app,
    cluster,
    config,
    contract,
    golden,
    judge,
    numbers,
    pii,
    pipeline,
    records,
    replay,
    rounds,
    runs,
    sample,
    synthesize,
    traces,
)
from review.cli.base import main

__all__ = [
    "adversarial",
    "app",
    "cluster",
    "config",
    "contract",
    "golden",
    "judge",
    "main",
    "numbers",
    "pii",
    "pipeline",
    "records",
    "replay",
    "rounds",
    "runs",
    "sample",
    "synthesize",
    "traces",
]

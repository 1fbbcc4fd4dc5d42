"""The command line: parse, call one service, print. One module a family of verbs."""

from review.cli import adversarial, app, numbers, records, rounds, sample, traces
from review.cli.base import main

__all__ = ["adversarial", "app", "main", "numbers", "records", "rounds", "sample", "traces"]

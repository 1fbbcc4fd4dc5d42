"""`review agreement`, `parity` and `calibration`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import click

from review.cli.base import Context, main, shown, verb


@verb(main)
@click.option("--run", metavar="RUN", help="Only the traffic of this run, by name, number or id.")
@click.option("--round", "round_id", help="Only this round's labels.")
@click.option("--unit", type=click.Choice(["majority", "each"]), default="majority", show_default=True)
@click.option("--unparsable", type=click.Choice(["tie", "wrong", "dropped"]), default="tie", show_default=True)
@click.option("--inconsistent", type=click.Choice(["own", "tie"]), default="own", show_default=True)
def agreement(context: Context, **asked: Any) -> None:
    """Compare the judges with people, and people with each other."""
    with context.desk() as desk:
        document = desk.ask("agreement.read", asked).document
    context.print(document, _agreement_lines(document))


def _agreement_lines(document: dict[str, Any]) -> list[str]:
    """The numbers of the report as a short table for the terminal."""

    lines: list[str] = []
    for judge in document["judges"]:
        lines.append(f"{judge['judge']}: {judge['n']} pairs, {judge['prompts']} prompts")
        lines += [f"  {name:6} {shown(judge[name])}" for name in ("raw", "kappa", "ac1")]
        lines += [f"  left out: {count} {reason}" for reason, count in judge["excluded"].items() if count]
    if not lines:
        lines.append("No judge and person have spoken about the same pair yet.")
    people = document["humans"]
    lines.append(f"people: {people['reviewers']} reviewers, alpha {shown(people['alpha'])}")
    return [*lines, *document["rules"]["in_words"]]


@verb(main)
@click.option("--round", "round_id", help="Only this round's frame and labels.")
def parity(context: Context, round_id: str | None) -> None:
    """Look: is new as good as old under the contract? Exit 0 parity, 3 regression, 4 inconclusive.

    A look is recorded, and the contract plans how many there are; without anything new the last one is shown again.
    """
    with context.desk() as desk:
        found = desk.ask("parity.look", {"round_id": round_id}).document
    document = found["report"]
    context.print(document, _parity_lines(document))
    if found["refusal"]:
        click.echo(found["refusal"], err=True)
    sys.exit({"parity": 0, "regression": 3}.get(document["verdict"], 4))


def _parity_lines(document: dict[str, Any]) -> list[str]:
    """The verdict, its parts and what is missing, for the terminal."""
    parts = document["parts"]
    lines = [f"{document['verdict'].upper()} at a one-sided alpha of {document['alpha']:.4g}"]
    lines.append(f"share right, new minus old, of all traffic: {document['part_verdicts']['tolerance']}")
    for row in parts["tolerance"]:
        missing = row["labels_needed"]
        needed = f"; about {missing:,} more labelled pairs" if isinstance(missing, int) else ""
        lines.append(
            f"  {row['task'] or '(no task)'}: {row['verdict']}, {shown(row['difference'])}, "
            f"tolerance {row['tolerance']}{needed}"
        )
    failures = parts["failure_modes"]
    lines.append(f"failure categories: {failures['verdict']}")
    lines += [
        f"  {row['category']}: {row['verdict']}, {row['old']} on old, {row['new']} on new"
        for row in failures["categories"]
    ]
    direction = parts["direction"]
    said = direction["direction"].replace("_", " ")
    lines.append(f"direction of error: {direction['verdict']}, {said}, D {shown(direction['balance'])}")
    return [*lines, *document["notes"]]


@verb(main)
@click.option("--old", required=True, type=click.Path(path_type=Path), help="FILE of id, confidence, correct.")
@click.option("--new", type=click.Path(path_type=Path), help="The same of the new system, by the same ids.")
def calibration(context: Context, old: Path, new: Path | None) -> None:
    """Compare confidences with correctness, in plain files; needs no database."""
    from review.services.calibration import calibration_of_files

    document = calibration_of_files(old, new).to_json()
    context.print(document, _calibration_lines(cast("dict[str, Any]", document)))


def _calibration_lines(document: dict[str, Any]) -> list[str]:
    """The report as a short table for the terminal."""
    lines: list[str] = []
    for side in ("old", "new"):
        if side not in document:
            continue
        system = document[side]
        lines.append(f"{side}: {system['n']} answers, {system['prompts']} prompts")
        lines += [f"  {name:10} {shown(system[name])}" for name in ("accuracy", "confidence", "brier")]
        lines.append(f"  {'ece':10} {system['ece']['value']:.4f}")
    for name, result in document.get("difference", {}).items():
        p = f", p {result['p']:.3g}" if "p" in result else ""
        lines.append(f"{name}, new minus old: {shown(result)}{p}")
    lines += [f"left out: {count} {reason}" for reason, count in document["exclusions"].items() if count]
    return [*lines, *document["rules"]["in_words"]]

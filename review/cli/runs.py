"""`review run`: evaluation runs, each a candidate against a baseline on up to four kinds of evidence."""

from __future__ import annotations

from typing import Any

import click

from review.cli.base import Context, main, progress, verb

# The four kinds of evidence that a migration step should have.
KINDS = ("benchmark", "golden", "replay", "shadow")


@main.group()
def run() -> None:
    """Evaluation runs: a candidate against a baseline. Nothing of a run is ever overwritten."""


@verb(run)
@click.argument("name")
@click.option(
    "--step",
    type=click.Choice(["quantization", "kernel", "runtime", "model", "other"]),
    required=True,
    help="What the migration changes.",
)
@click.option("--old", "old", multiple=True, metavar="KEY=VALUE", help="name, model, revision, quantization, runtime.")
@click.option("--new", "new", multiple=True, metavar="KEY=VALUE", help="The same of the candidate.")
def start(context: Context, name: str, step: Any, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Begin a run of the configuration's two endpoints, or of what --old and --new say."""
    from review.services import runs

    with context.desk() as desk:
        if old or new:
            spec = runs.described_by(old, new, name, step, runs.config_hash(desk.settings))
        else:
            spec = runs.configured(desk.settings, name, step)
        document = desk.ask("runs.begin", spec.model_dump()).document
    context.print(document, _lines(document))


@verb(run, "list")
def list_(context: Context) -> None:
    """All runs, and which kinds of evidence each has."""
    with context.desk() as desk:
        document = desk.ask("runs.read", {}).document
    lines = [_line(each) for each in document["runs"]]
    context.print(document, lines or ["No run yet. Begin one with: review run start NAME --step quantization"])


@verb(run)
@click.argument("run")
def show(context: Context, run: str) -> None:
    """One run, by name, number or id: its stacks, its evidence, and the slices that regress silently."""
    from review.services import run_slices, runs

    with context.desk() as desk:
        document = desk.ask("runs.read", {"run": run}).document["runs"][0]
        table = runs.all_outcomes(desk, document["run_id"])
    document |= {
        "slices": [each.to_json() for each in run_slices.by_part_of(table)],
        "long_context": run_slices.long_context_of(table).to_json(),
        "tool_chains": run_slices.tool_chains_of(table).to_json(),
    }
    context.print(document, [*_lines(document), *_sliced(document)])


@verb(run)
@click.argument("run_a")
@click.argument("run_b")
def compare(context: Context, run_a: str, run_b: str) -> None:
    """Which examples flipped between the candidates of two runs."""
    from review.services import run_slices, runs

    with context.desk() as desk:
        a, b = (desk.ask("runs.read", {"run": each}).document["runs"][0] for each in (run_a, run_b))
        of_a, of_b = (runs.all_outcomes(desk, each["run_id"]) for each in (a, b))
    found: dict[str, Any] = run_slices.compare_of(of_a, of_b, run_slices.same_baseline(a, b)).to_json()
    lines = [
        f"{b['name']} against {a['name']}: {found['shared']:,} outcomes in both, {found['only_a']:,} only in "
        f"{a['name']}, {found['only_b']:,} only in {b['name']}, {found['unknown']:,} of unknown difference",
        f"  {_points(found['difference'])} points (right answers, {b['name']} minus {a['name']})",
    ]
    for each in found["kinds"]:
        lines.append(
            f"  {each['evidence']:11} {each['better']:,} better, {each['worse']:,} worse: {_points(each['difference'])}"
        )
    for word in ("worse", "better"):
        lines += [f"  {word}: {each['example_id']} ({each['metric']})" for each in found[word][:10]]
    context.print({"a": a, "b": b, **found}, lines)


@verb(run)
@click.argument("run")
@click.option("--sample", metavar="ID", help="The sample's pairs.  [default: the newest of the run's two stacks]")
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="Pairs that came from here instead; repeatable."
)
@click.option("--as", "name", metavar="NAME", help="Call the part so: for a later recording of the same pairs.")
@click.option("--shadow", is_flag=True, help="They are live shadow traffic; shadow:… is it anyway.")
def record(
    context: Context, run: str, sample: str | None, sources: tuple[str, ...], name: str | None, shadow: bool
) -> None:
    """Put replayed or imported pairs into a run: what each came to, and who says so.

    Known correctness decides, then people's labels, then a structured reference or sameness, then the judge. Recording
    the same again changes nothing. After further labels or verdicts, record with --as NAME: the new part counts, and
    the earlier one stays to be seen.
    """
    from review.services import run_record

    with context.desk() as desk, progress("pairs") as tell:
        made = run_record.record(desk, run, sample=sample, sources=sources, name=name, shadow=shadow, tell=tell)
    lines: list[str] = []
    for each in made:
        for note in each.notes:
            click.echo(note, err=True)
        lines.append(
            f"{each.evidence} {each.part}: {each.examples:,} outcomes" + ("" if each.new else ", recorded before")
        )
        lines += [
            f"{count:9,}  by {who}" if who != "nobody" else f"{count:9,}  undecided"
            for who, count in each.decided.items()
        ]
        if each.chains:
            lines.append(f"{each.chains:9,}  chains of tool calls")
    context.print({"parts": [each.to_json() for each in made]}, lines)


def _line(document: dict[str, Any]) -> str:
    has = {each["evidence"] for each in document["parts"]}
    kinds = ", ".join(each for each in (*KINDS, "adversarial") if each in has) or "no evidence yet"
    return f"{document['number']:4}  {document['name']}  {document['step']}: {kinds}"


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"run {document['number']} {document['name']}: {document['step']}, {document['run_id']}"]
    for title, side in (("baseline ", document["baseline"]), ("candidate", document["candidate"])):
        lines.append(f"  {title}  " + ", ".join(str(side[key]) for key in side if key != "config_hash"))
    for each in document["parts"]:
        lines.append(f"  {each['evidence']:11} {each['part']}: {each['examples']:,} outcomes, ${each['cost_usd']:.2f}")
    missing = [each for each in KINDS if each not in {part["evidence"] for part in document["parts"]}]
    return [*lines, *([f"  lacks: {', '.join(missing)}"] if missing else [])]


def _points(result: dict[str, Any]) -> str:
    """A share in points with its interval, or why there is none."""
    if "not_estimable" in result:
        return f"not estimable: {result['not_estimable']}"
    return f"{100 * result['value']:+.1f} ({100 * result['low']:+.1f} to {100 * result['high']:+.1f})"


def _sliced(document: dict[str, Any]) -> list[str]:
    """The slices in words: differences in points of right answers, new minus old."""
    lines: list[str] = []
    for each in document["slices"]:
        told = f"{each['worse']:,} worse, {each['better']:,} better, {each['undecided']:,} undecided"
        lines.append(f"  {each['evidence']} {each['part']}: {_points(each['difference'])} points; {told}")
    if document["slices"]:
        lines.append("by tokens of the input:")
        for each in document["long_context"]["buckets"]:
            told = f"{each['n']:,} examples, {_points(each['difference'])}" if each["n"] else "none"
            lines.append(f"  {each['name']:11} {told}")
    chains = document["tool_chains"]
    if chains["chains"]:
        lines.append(f"chains of tool calls: {chains['chains']:,}, completed {_points(chains['difference'])}")
        lines.append(f"  cut off {_points(chains['cut_difference'])}")
        for each in chains["first_wrong"]:
            step = "later" if each["step"] is None else f"step {each['step']}"
            lines.append(f"  first wrong at {step}: {each['old']:,} old, {each['new']:,} new")
    return lines

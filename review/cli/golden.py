"""`review golden`: items in, what is accepted frozen by hash, runs scored by it, drafts where coverage lacks."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from review.cli.base import Context, main, progress, verb
from review.cli.records import mapping, show_rejected
from review.cli.replay import teller

_SHOWN = 20


@main.group()
def golden() -> None:
    """The golden set: curated prompts with a good response and rubric items, frozen by hash."""


@verb(golden, "import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--skip-invalid", is_flag=True, help="Write the good lines of a file that has bad ones.")
@click.option("--map", "names", multiple=True, metavar="OURS=THEIRS", help="Rename a field of a foreign file.")
def import_(context: Context, files: tuple[str, ...], skip_invalid: bool, names: tuple[str, ...]) -> None:
    """Import items from JSONL, CSV or Parquet: item_id, task, prompt or messages, reference, rubric.

    Importing accepts. A changed item is a further version; frozen sets keep the one that they have.
    """
    from review.adapters.cache import Cache
    from review.adapters.embedding import open_encoder
    from review.errors import RejectedRecords
    from review.services.cluster import place_inputs
    from review.services.golden import import_file

    total = dict.fromkeys(("read", "new", "changed", "present"), 0)
    rejected: list[Any] = []
    failed = False
    with context.desk() as desk, closing(Cache(desk.settings.cache_file)) as cache:
        for file in map(Path, files):
            try:
                with progress(f"items {file.name}") as tell:
                    done = import_file(desk, file, names=mapping(names), skip_invalid=skip_invalid, tell=tell)
            except RejectedRecords as error:
                failed = True
                total["read"] += error.read
                rejected += error.rejected
                show_rejected(str(file), error.rejected)
                click.echo(f"error: {error}. Correct them, or pass --skip-invalid to write the rest.", err=True)
                continue
            for name in total:
                total[name] += getattr(done, name)
            rejected += done.rejected
            show_rejected(str(file), done.rejected)
        encoder = open_encoder(desk.settings.config.embedding)
        place_inputs(desk, encoder, cache)
        standing = desk.ask("golden.versions").document
    document = {
        **total,
        "rejected": [{"line": each.line, "field": each.field, "reason": each.reason} for each in rejected],
        "accepted": standing["accepted"],
        "cost_usd": encoder.cost_usd,
    }
    lines = [
        f"{total['read']} read, {total['new']} new, {total['changed']} new versions, "
        f"{total['present']} present already, {len(rejected)} rejected"
    ]
    if standing["accepted"] and not standing["frozen"]:
        lines.append(f"{standing['accepted']:,} items are accepted. Freeze them: review golden freeze")
    if encoder.cost_usd is not None:
        lines.append(f"vectors of their prompts: ${encoder.cost_usd:.4f}")
    context.print(document, lines)
    if failed:
        sys.exit(1)


@verb(golden, "list")
@click.option("--state", type=click.Choice(["accepted", "draft", "rejected"]), help="Only these.  [default: all]")
@click.option("--version", help="Only those of a frozen set: its name, number or hash.")
def list_(context: Context, state: str | None, version: str | None) -> None:
    """All items, or those of a frozen set."""
    from review.services.golden import pages

    with context.desk() as desk:
        found = list(pages(desk, version=version, state=state))
    lines = [
        f"{each['state']:9}  {each['item_hash'][:12]}  {len(each['form']['rubric']):2} rubric items  {each['item_id']}"
        for each in found
    ]
    context.print({"items": found}, lines or ["No golden item yet. Import some: review golden import FILE"])


@verb(golden)
@click.argument("item")
def show(context: Context, item: str) -> None:
    """One item: prompt, reference, rubric items, and what became of it."""
    with context.desk() as desk:
        document = desk.ask("golden.show", {"item": item}).document
    form = document["form"]
    lines = [f"{document['item_id']}  {document['state']}  {document['item_hash']}"]
    lines += [f"  {each['role']}: {_text(each.get('content'))}" for each in form["messages"]]
    lines.append(f"  reference: {_text(form['reference'])}")
    for place, each in enumerate(form["rubric"], 1):
        weight = f" (×{each['weight']:g})" if each["weight"] != 1 else ""
        lines.append(f"  rubric {place}: {_text(each['item'])}{weight}")
    for each in document["history"]:
        why = f": {_text(each['reason'])}" if each["reason"] else ""
        lines.append(f"  {each['at'][:16]} {each['kind']} {each['item_hash'][:12]} by {each['by']}{why}")
    context.print(document, lines)


@verb(golden)
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="A .jsonl file.")
@click.option("--version", help="A frozen set, by its name, number or hash.  [default: what is accepted now]")
@click.option("--drafts", is_flag=True, help="Drafts instead; importing them back accepts those that you changed.")
def export(context: Context, target: Path, version: str | None, drafts: bool) -> None:
    """Write items to a file that can be imported again."""
    from review.services.golden import export as write

    with context.desk() as desk:
        count = write(desk, target, version=version, drafts=drafts)
    context.print({"exported": count, "file": str(target)}, [f"{count} items written to {target}"])


@verb(golden)
@click.option("--name", help="How people call it.")
def freeze(context: Context, name: str | None) -> None:
    """Freeze what is accepted: its version is the SHA-256 over all items. The same items are the same version."""
    with context.desk() as desk:
        document = desk.ask("golden.freeze", {"name": name}).document
    if document["note"]:
        click.echo(f"note: {document['note']}", err=True)
    state = "" if document["new"] else ", frozen before"
    context.print(document, [f"{_version(document)}{state}", f"SHA-256 {document['version']}"])


@verb(golden)
def versions(context: Context) -> None:
    """Frozen sets, oldest first."""
    with context.desk() as desk:
        document = desk.ask("golden.versions").document
    lines = [_version(each) for each in document["versions"]]
    if document["accepted"] and not document["frozen"]:
        lines.append(f"not frozen: what is accepted now ({document['accepted']:,} items). review golden freeze")
    context.print(document, lines or ["No golden item yet. Import some: review golden import FILE"])


@verb(golden)
@click.argument("one")
@click.argument("other")
def diff(context: Context, one: str, other: str) -> None:
    """What differs from one frozen set to another."""
    with context.desk() as desk:
        document = desk.ask("golden.diff", {"one": one, "other": other}).document
    lines = [f"{_version(document['one'])}  →  {_version(document['other'])}"]
    lines += [f"+ {each}" for each in document["added"]] + [f"- {each}" for each in document["removed"]]
    lines += [f"~ {each['item_id']}: {', '.join(each['fields'])}" for each in document["changed"]]
    context.print(document, lines if len(lines) > 1 else [*lines, "They hold the same items."])


@verb(golden)
@click.option("--run", required=True, help="The run that the outcomes go into: its name, number or id.")
@click.option("--version", help="A frozen set, by its name, number or hash.  [default: the newest]")
@click.option("--limit", type=click.IntRange(1), help="Ask at most so many items now; recorded once all are scored.")
@click.option("--no-record", is_flag=True, help="Keep answers and scores for people, and leave the run as it is.")
@click.option("--with-gaps", is_flag=True, help="Record although some items got no answer; they stay undecided.")
@click.option("--as", "name", metavar="NAME", help="Record once more, once people have scored: this part counts now.")
def score(
    context: Context,
    run: str,
    version: str | None,
    limit: int | None,
    no_record: bool,
    with_gaps: bool,
    name: str | None,
) -> None:
    """Ask both stacks every item of a frozen set, and the judge every rubric item of each answer.

    Nothing is asked or paid twice. People's scores (page Golden set) win over the judge's where they stand before it is
    recorded; what is recorded never changes, so scores that come later count in the next run, or with --as.
    """
    from review.services.golden_score import Options
    from review.services.golden_score import score as service

    def tell(step: str) -> Any:
        click.echo({"old": "old answers", "new": "new answers", "judge": "the judge reads"}[step], err=True)
        return teller()

    with context.desk() as desk:
        options = Options(limit=limit, record=not no_record, with_gaps=with_gaps, name=name)
        done = service(desk, run, version, options, tell)
    lost = sum(done.without_answer.values())
    lines = [
        f"{done.asked:,} of {done.items:,} items asked, {done.rubric:,} rubric items: {done.differ:,} differ, "
        f"{done.undecided:,} undecided, {done.by_people:,} decided by people; {done.pairs:,} pairs to read; "
        f"${done.spent_usd:.4f} now, ${done.cost_usd:.4f} in all"
    ]
    if done.stood:
        lines.append(f"Run {done.run} has this already. Scores of people since then count with --as NAME.")
    elif done.recorded:
        lines.append(f"{done.recorded:,} outcomes recorded in run {done.run}")
    elif no_record:
        lines.append("Not recorded. People score on the page Golden set; then run it without --no-record.")
    else:
        lines.append("Not recorded yet: run it again, what was asked is not paid twice.")
    context.print(done.to_json(), lines)
    if lost:
        kinds = ", ".join(f"{count} {kind}" for kind, count in done.without_answer.items())
        click.echo(f"note: {lost:,} items got no answer ({kinds}). --with-gaps records the rest.", err=True)
    if done.stopped:
        click.echo(f"error: {done.stopped}", err=True)
    if done.stopped or (lost and not done.recorded):
        sys.exit(1)


@verb(golden)
@click.option("--per-cluster", type=click.IntRange(1, 50), default=3, show_default=True, help="Drafts a cluster.")
@click.option("--synthetic", is_flag=True, help="Of synthetic traces, where real traffic may not be used.")
def draft(context: Context, per_cluster: int, synthetic: bool) -> None:
    """Draft items for clusters that neither golden set nor eval suite touches. People accept them, or they never count.

    The prompt is a stripped trace near the cluster's centre; the judge's provider drafts reference and rubric items.
    """
    from review.services.golden_drafts import draft as service

    with context.desk() as desk:
        done = service(desk, per_cluster, synthetic=synthetic, tell=teller())
    lines = [
        f"{done.clusters:,} clusters untested, {done.wanted:,} drafts to make: {done.new:,} new, "
        f"{done.failed:,} without a usable answer; ${done.cost_usd:.4f}",
        f"{done.waiting:,} drafts wait for a person on the page Golden set",
    ]
    context.print(done.__dict__, lines)
    if done.stopped:
        click.echo(f"error: {done.stopped}", err=True)
        sys.exit(1)


def _version(document: dict[str, Any]) -> str:
    named = f" {document['name']}" if document["name"] else ""
    frozen = f"{document['items']:,} items, {document['frozen_at'][:10]}, {document['frozen_by']}"
    return f"{document['number']:3}  {document['short']}{named}: {frozen}"


def _text(content: object) -> str:
    """Foreign text on one line of a terminal, without control characters."""
    text = content if isinstance(content, str) else "(parts)"
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= 400 else line[:399] + "…"

"""The parts of the Runs page: runs as rows with their kinds of evidence, one run opened, two runs side by side."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from review.domain.failure import Provenance
from review.domain.run import EVIDENCE, KINDS, Evidence, StackCard
from review.services import run_slices, runs
from review.services.run_slices import Compared, Example, LongContext, PartSlice, ToolChains
from review.services.workspace import Actor, Workspace
from review.stats.estimate import Estimate, Result
from review.store.runs import PartRow, RunRow
from review.ui import charts, promote, runs_charts, shell, table, verbatim
from review.ui.runs_charts import Dot
from review.ui.text import line, plain

KIND_WORDS: dict[Evidence, str] = {
    "benchmark": "Benchmarks",
    "golden": "Golden set",
    "replay": "Replay",
    "shadow": "Shadow",
    "adversarial": "Adversarial",
}
LACKS: dict[Evidence, str] = {
    "benchmark": "standard benchmarks",
    "golden": "the golden set",
    "replay": "production replay",
    "shadow": "live shadow traffic",
    "adversarial": "the adversarial set",
}
HOW: dict[Evidence, str] = {
    "benchmark": "review bench --run {run} --tasks mmlu_pro,ifeval",
    "golden": "review golden score --run {run}",
    "replay": "review run record {run}",
    "shadow": "review shadow record {run}",
    "adversarial": "review adversarial replay --run {run}",
}
FIELDS = ("name", "model", "revision", "quantization", "runtime", "config_hash")
POINTS = "new minus old, points of right answers"
LISTED = 12


@dataclass(frozen=True)
class Opened:
    """Everything the page shows of one run, computed once."""

    parts: tuple[PartSlice, ...]
    long_context: LongContext
    tool_chains: ToolChains


@st.cache_resource(ttl=3600, max_entries=16, show_spinner="Reading the run …")
def _opened(key: tuple[Hashable, ...], _workspace: Workspace, run_id: str) -> Opened:  # noqa: ARG001 the cache's key
    found = runs.outcomes(_workspace, run_id)
    return Opened(run_slices.by_part_of(found), run_slices.long_context_of(found), run_slices.tool_chains_of(found))


@st.cache_resource(ttl=3600, max_entries=8, show_spinner="Comparing the runs …")
def _compared(key: tuple[Hashable, ...], _workspace: Workspace, a: str, b: str) -> Compared:  # noqa: ARG001 the cache's key
    return run_slices.compare(_workspace, a, b)


@st.cache_resource(ttl=3600, max_entries=32, show_spinner=False)
def _worse(
    key: tuple[Hashable, ...],  # noqa: ARG001 the cache's key
    _workspace: Workspace,
    run_id: str,
    evidence: Evidence,
    part: str,
) -> list[Example]:
    return run_slices.worse(_workspace, run_id, evidence, part)


def evidence_of(recorded: Sequence[PartRow]) -> set[Evidence]:
    """The kinds of evidence among these parts."""
    return {each.evidence for each in recorded}


def in_words(has: set[Evidence]) -> str:
    """How many of the four kinds a run has, and which it lacks."""
    if not has:
        return "No evidence yet."
    missing = [LACKS[each] for each in KINDS if each not in has]
    count = len(KINDS) - len(missing)
    if not missing:
        return "All 4 kinds of evidence; most teams have one or two."
    lacks = missing[0] if len(missing) == 1 else ", ".join(missing[:-1]) + " and " + missing[-1]
    return f"{count} of 4 kinds: lacks {lacks}" + ("; most teams have one or two." if count > 1 else ".")


def overview(listed: Sequence[RunRow], recorded: Sequence[PartRow], opened: str) -> None:
    """Runs as rows, the newest first; a row opens its run below."""
    by_run: dict[str, list[PartRow]] = {}
    for each in recorded:
        by_run.setdefault(each.run_id, []).append(each)
    newest = sorted(listed, key=lambda each: -each.number)
    for each in newest[:LISTED]:
        _row(each, by_run.get(each.run_id, []), opened)
    if len(newest) > LISTED:
        with st.expander(f"{len(newest) - LISTED:,} older runs"):
            for each in newest[LISTED : LISTED + 100]:
                _row(each, by_run.get(each.run_id, []), opened)


def _row(run: RunRow, recorded: Sequence[PartRow], opened: str) -> None:
    has = evidence_of(recorded)
    cost = runs.described(run, recorded)["cost_usd"]
    with st.container(border=True, key=f"run_row_{run.number}"):
        left, right = st.columns([4, 7], gap="medium", vertical_alignment="center")
        with left:
            st.button(
                plain(f"{run.number} · {run.name}", 80),
                key=f"open_{run.run_id}",
                type="primary" if run.run_id == opened else "tertiary",
                on_click=_open,
                args=(run.run_id,),
            )
            told = [run.step, f"{run.baseline.name} → {run.candidate.name}", f"{run.started_at:%d %b %Y %H:%M}"]
            told += [f"${cost:,.2f}"] if cost else []
            st.caption(plain(" · ".join(told), 240))
        with right:
            with st.container(horizontal=True, gap="xsmall"):
                for kind in EVIDENCE:
                    _mark(kind, there=kind in has)
            st.caption(in_words(has))


def _mark(kind: Evidence, *, there: bool) -> None:
    """Filled where there is evidence of this kind, else empty; the adversarial set beside the four."""
    icon = ":material/check_circle:" if there else ":material/radio_button_unchecked:"
    colour = ("violet" if kind == "adversarial" else "blue") if there else "gray"
    st.badge(KIND_WORDS[kind], icon=icon, color=colour)


def _open(run_id: str) -> None:
    st.session_state["runs_open"] = run_id


def one_run(
    workspace: Workspace, actor: Actor, run: RunRow, recorded: Sequence[PartRow], key: tuple[Hashable, ...]
) -> None:
    """A run opened: stacks, parts, what got worse, prompts by length, chains of tool calls."""
    st.subheader(plain(f"{run.number} · {run.name}", 120), anchor=False)
    _stacks(run)
    if not recorded:
        shell.empty("Nothing is recorded in this run yet", "Put evidence in from the command line, beside this app:")
        verbatim.show("\n".join(HOW[each].format(run=run.number) for each in EVIDENCE), "evidence")
        return
    found = _opened((*key, run.run_id), workspace, run.run_id)
    _parts(workspace, actor, run, found.parts, key)
    with charts.beside("run_slices") as (left, right):
        with left:
            _long_context(found.long_context, _estimated(recorded), (*key, run.run_id))
        with right:
            _tool_chains(found.tool_chains, (*key, run.run_id))
    _recorded(run, recorded)


def _stacks(run: RunRow) -> None:
    """Both stacks side by side; what differs is marked."""
    rows: list[dict[str, str]] = []
    for name in FIELDS:
        old, new = (_said(card, name) for card in (run.baseline, run.candidate))
        if old or new:
            mark = "differs" if old != new else ""
            rows.append({"": name.replace("_", " "), "Baseline": old or "—", "Candidate": new or "—", "Change": mark})
    table.show(rows, "stacks")


def _said(card: StackCard, name: str) -> str:
    said = getattr(card, name)
    if said is None:
        return ""
    return said[:12] if name == "config_hash" else line(said, 120)


def _parts(
    workspace: Workspace, actor: Actor, run: RunRow, parts: Sequence[PartSlice], key: tuple[Hashable, ...]
) -> None:
    """The difference on each part as dot and whisker; a part that is chosen lists what got worse."""
    st.markdown("**Difference on each part**")
    named = {_part_name(each): each for each in parts}
    dots = [Dot(name, each.difference, _counts(each)) for name, each in named.items()]
    alt_text = "; ".join(f"{each.name}: {points(each.result)}" for each in dots)
    name = charts.pick(
        (*key, run.run_id, "parts"),
        lambda: runs_charts.whiskers(dots, POINTS),
        alt_text,
        list(named),
        name=f"parts_{run.run_id}",
        label="Show the examples that got worse",
        hint="click a line, or choose a part here, to read what got worse",
    )
    for each in parts:
        told = f"{_part_name(each)}: {each.examples:,} examples"
        told += f", of {each.undecided:,} nothing says who is right" if each.undecided else ""
        if not isinstance(each.difference, Estimate):
            st.caption(plain(f"{told}. Not estimable: {each.difference.reason}.", 300))
        elif each.undecided:
            st.caption(plain(told + ".", 300))
    st.caption(
        "95 % intervals by prompt. Blue: better; vermilion: worse; grey: the interval holds 0, which is no proof of "
        "parity. Whether it is within tolerance the gate decides."
    )
    chosen = named.get(name) if name else None
    if chosen is not None:
        found = _worse((*key, run.run_id), workspace, run.run_id, chosen.evidence, chosen.part)
        with st.container(border=True):
            st.markdown(f"**{plain(_part_name(chosen), 120)}: {chosen.worse:,} got worse**")
            seen = Provenance("run", run.run_id)
            offer = chosen.evidence != "adversarial"
            examples(workspace, actor, found, chosen.worse, seen, f"worse_{run.run_id}", offer=offer)


def _part_name(each: PartSlice) -> str:
    return line(f"{KIND_WORDS[each.evidence]}: {each.part}", 80)


def _counts(each: PartSlice) -> str:
    return f"{each.worse:,} worse, {each.better:,} better"


def points(result: Result) -> str:
    """A difference in points with its interval, or why there is none."""
    if not isinstance(result, Estimate):
        return f"not estimable, {result.reason}"
    return f"{100 * result.value:+.1f} points ({100 * result.low:+.1f} to {100 * result.high:+.1f})"


def _sides(old: Result, new: Result) -> str:
    """Two shares in percent."""
    shares = [f"{each.value:.0%}" if isinstance(each, Estimate) else "?" for each in (old, new)]
    return f"old {shares[0]}, new {shares[1]}"


def _estimated(recorded: Sequence[PartRow]) -> int:
    """Of how many examples the length of the input is estimated from its characters."""
    replaced = runs.superseded(recorded)
    stands = [each for each in recorded if (each.run_id, each.evidence, each.part) not in replaced]
    lengths: list[dict[str, int]] = [each.detail.get("prompt_tokens") or {} for each in stands]
    return sum(each.get("estimated", 0) for each in lengths)


def _long_context(found: LongContext, estimated: int, key: tuple[Hashable, ...]) -> None:
    """The difference by the length of the input."""
    st.markdown("**Long context: by tokens of the input**")
    dots = [
        Dot(each.name, each.difference, f"{each.n:,} examples" if each.n else "no examples") for each in found.buckets
    ]
    alt_text = "; ".join(f"{each.name}: {points(each.result) if each.told[:2] != 'no' else 'none'}" for each in dots)
    if not charts.draw((*key, "long"), lambda: runs_charts.whiskers(dots, POINTS), alt_text):
        st.caption("No example of a known length is decided yet.")
    empty = [each.name for each in found.buckets if not each.n]
    if empty:
        st.caption("Not there: no example has " + ", ".join(empty) + " tokens, so nothing is known of those.")
    if found.without:
        st.caption(f"{found.without:,} examples do not say how long their input is.")
    if estimated:
        st.caption(f"The lengths of {estimated:,} are estimated from their characters: nothing says how many tokens.")


def _tool_chains(found: ToolChains, key: tuple[Hashable, ...]) -> None:
    """Chains of tool calls: completed, first wrong step, cut off."""
    st.markdown("**Tool use: chains of calls**")
    if not found.chains:
        st.caption("No chain of tool calls is among the examples.")
        return
    several = found.chains - found.single
    st.caption(
        f"{found.chains:,} chains, {several:,} of several steps. A chain is completed where every step is right."
    )
    completed = [Dot("completed", found.difference, _sides(found.completed_old, found.completed_new))]
    told = f"Chains completed: {points(found.difference)}"
    charts.draw((*key, "chains"), lambda: runs_charts.whiskers(completed, "new minus old, points of chains"), told)
    cut = [Dot("cut off", found.cut_difference, _sides(found.cut_old, found.cut_new))]
    told = f"Chains with a truncated call or answer: {points(found.cut_difference)}"
    title = "new minus old, points of chains cut off"
    if not charts.draw((*key, "cut"), lambda: runs_charts.whiskers(cut, title, harm_below=False), told):
        st.caption(plain(f"Truncated calls: {points(found.cut_difference)}.", 300))
    told = "; ".join(f"step {each.step or 'later'}: {each.old} old, {each.new} new" for each in found.first_wrong)
    if not charts.draw((*key, "first"), lambda: runs_charts.first_wrong(found.first_wrong), told):
        st.caption("No chain broke on either side.")


def _recorded(run: RunRow, recorded: Sequence[PartRow]) -> None:
    """What was recorded, by whom and when; parts that others superseded, too."""
    replaced = runs.superseded(recorded)
    rows = [
        {
            "Evidence": KIND_WORDS[each.evidence],
            "Part": line(each.part, 80),
            "Outcomes": f"{each.examples:,}",
            "Decided by": line(_decided(each.detail), 120),
            "Cost": f"${each.cost_usd:,.2f}",
            "By": line(each.recorded_by, 60),
            "When": f"{each.recorded_at:%d %b %Y %H:%M}",
            "Counts": line(f"no: {later}", 80)
            if (later := replaced.get((run.run_id, each.evidence, each.part)))
            else "yes",
        }
        for each in recorded
    ]
    with st.expander(f"What was recorded: {len(rows)} part{'s' if len(rows) != 1 else ''}"):
        table.show(rows, "recorded")


def _decided(detail: Mapping[str, Any]) -> str:
    decided: Mapping[str, int] = detail.get("decided") or {}
    return ", ".join(f"{name} {count:,}" for name, count in decided.items())


def comparison(
    workspace: Workspace, actor: Actor, run: RunRow, listed: Sequence[RunRow], key: tuple[Hashable, ...]
) -> None:
    """Another run's candidate beside this one's, example by example."""
    others = {each.run_id: each for each in sorted(listed, key=lambda each: -each.number) if each.run_id != run.run_id}
    if not others:
        return
    st.subheader("Compare with another run", anchor=False)
    other = st.selectbox(
        "Compare with",
        list(others),
        None,
        key=f"compare_{run.run_id}",
        format_func=lambda each: line(f"{others[each].number} · {others[each].name}", 80),
        placeholder="choose a run",
        label_visibility="collapsed",
    )
    if other is None:
        return
    a, b = others[other], run
    found = _compared((*key, a.run_id, b.run_id), workspace, a.run_id, b.run_id)
    if not found.shared:
        st.caption("These runs have no example in common.")
        return
    st.text(
        line(f"{b.candidate.name} against {a.candidate.name}", 200) + f": {found.shared:,} outcomes in both, "
        f"{found.only_b:,} only here, {found.only_a:,} only there, {found.unknown:,} of unknown difference."
    )
    dots = [
        Dot(KIND_WORDS[each.evidence], each.difference, f"{each.better:,} better, {each.worse:,} worse")
        for each in found.kinds
    ]
    charts.draw(
        (*key, "compared", a.run_id, b.run_id),
        lambda: runs_charts.whiskers(dots, "this run's candidate minus the other's, points"),
        "; ".join(f"{each.name}: {points(each.result)}" for each in dots),
    )
    names = ("Other", "This run")
    for title, flipped in (("Got worse", found.worse), ("Got better", found.better)):
        total = sum(each.worse if title == "Got worse" else each.better for each in found.kinds)
        st.markdown(f"**{title}: {total:,}**")
        key_of = f"{title}_{a.run_id}_{b.run_id}"
        seen = Provenance("run", b.run_id)
        examples(workspace, actor, flipped, total, seen, key_of, names, offer=title == "Got worse")


def examples(
    workspace: Workspace,
    actor: Actor,
    found: Sequence[Example],
    total: int,
    provenance: Provenance,
    key: str,
    names: tuple[str, str] = ("Old", "New"),
    *,
    offer: bool = True,
) -> None:
    """Examples as rows: a selected one opens its pair, a button puts it into the adversarial set.

    Args:
        workspace: Where.
        actor: Who looks.
        found: The examples.
        total: How many there are of their kind.
        provenance: What shows them.
        key: Unique on the page.
        names: What the two values of each are called.
        offer: They are failures, which the set may take.
    """
    if not found:
        st.caption("None.")
        return
    rows = [
        {
            "Example": line(each.example_id, 80),
            "What": line(f"{KIND_WORDS[each.evidence]}, {each.metric}", 80),
            "Task": line(each.task or "", 60),
            names[0]: _value(each.old),
            names[1]: _value(each.new),
            "Decided by": line(each.decided_by, 60),
            "Pair": each.pair_id or "—",
        }
        for each in found
    ]
    first = f"The first {len(found)} of {total:,}. " if total > len(found) else ""
    pairs = [each.pair_id for each in found]
    promote.table(workspace, actor, rows, pairs, provenance, key, offer=offer)
    if not any(pairs):
        st.caption(f"{first}No pair shows these; the example's name says where to read it.")
        return
    put = "; the button beside it puts it into the adversarial set." if offer else "."
    st.caption(f"{first}Select a row to read its pair, where it has one{put}")


def _value(value: float | None) -> str:
    return "open" if value is None else f"{value:g}"

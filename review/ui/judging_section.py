"""What the judges of `review judge` cost, and what to know before trusting them, on the Agreement page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from review.services import judge_facts, judge_watch
from review.ui.agreement_view import View
from review.ui.text import line, plain


def warnings(view: View) -> None:
    """A judge that changed on the anchor pairs, or is kin to a model that it judges."""
    for told in view.once(("judge warnings",), "Comparing anchors …", lambda: judge_watch.warnings(view.workspace)):
        st.warning(plain(told), icon=":material/warning:")


def costs(view: View) -> None:
    """By week and by run; nothing where `review judge` never ran."""
    found = view.once(("judge costs",), "Adding up costs …", lambda: judge_facts.costs(view.workspace))
    if not found.runs:
        return
    spent, saved = (sum(each[name] for each in found.weeks) for name in ("cost_usd", "saved_usd"))
    with st.expander(f"Costs: {_dollars(spent)} in {len(found.weeks)} weeks, {_dollars(saved)} saved by the cache"):
        st.markdown("**By week**")
        st.dataframe([{"Week of": str(each["week"]), **_money(each)} for each in found.weeks], hide_index=True)
        st.markdown("**By run**")
        st.dataframe([_run(each) for each in found.runs], hide_index=True)
        st.caption("Checks are anchors and audits. Saved is what verdicts from the cache would have cost.")
        st.caption(plain(f"Cache for near-duplicates: {found.semantic}."))


def _run(each: Mapping[str, Any]) -> dict[str, object]:
    return {
        "Started": each["started_at"].strftime("%Y-%m-%d %H:%M"),
        "Model": line(each["model"], 80),
        **_money(each),
        "Same call": each["exact_hits"],
        "Near-duplicate": each["semantic_hits"],
        "Ended": each["reason"] or "not yet",
    }


def _money(each: Mapping[str, Any]) -> dict[str, object]:
    verdicts = each["verdicts"]
    shown: dict[str, object] = {
        "Verdicts": verdicts,
        "Calls": each["calls"],
        "Cost": _dollars(each["cost_usd"]),
        "A verdict": _dollars(each["cost_usd"] / verdicts) if verdicts else "–",
    }
    if "checks_usd" in each:
        shown["Of it checks"] = _dollars(each["checks_usd"])
    return {**shown, "Saved": _dollars(each["saved_usd"])}


def _dollars(amount: float) -> str:
    """Enough digits for a verdict that costs a thousandth of a cent. The sign stands behind: two of them are LaTeX."""
    return f"{amount:,.2f} USD" if amount >= 1 else f"{amount:.3g} USD"

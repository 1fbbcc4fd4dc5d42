"""What every section of the Agreement page shares: the data looked at, results computed once, numbers in words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from review.services import agreement
from review.services.agreement import AgreementReport
from review.services.facts import Rules
from review.services.workspace import Workspace
from review.stats.estimate import Estimate, NotEstimable, Result
from review.ui.text import plain

Found = TypeVar("Found")

DIMENSION_WORDS = {
    "preference": "Better overall",
    "error_old": "Error in old",
    "error_new": "Error in new",
    "tone": "Tone",
    "calibration_old": "Confidence of old",
    "calibration_new": "Confidence of new",
}


@st.cache_resource(ttl=3600, max_entries=96, show_spinner=False)
def _computed(key: tuple[Hashable, ...], _work: Callable[[], object]) -> object:  # noqa: ARG001 the cache's key
    return _work()


@dataclass(frozen=True)
class View:
    """The labels of one round or all, under rules, at one state of the data (`version`)."""

    workspace: Workspace
    version: str
    round_id: str | None
    rules: Rules

    def key(self, *part: Hashable) -> tuple[Hashable, ...]:
        """What a result about `part` depends on."""
        return (self.workspace.settings.db, self.version, self.round_id, self.rules, *part)

    def once(self, part: tuple[Hashable, ...], told: str, work: Callable[[], Found]) -> Found:
        """The result of `work`, computed once for all visits until data or rules change; nobody may change it.

        Args:
            part: What is computed.
            told: What the person reads while it takes time.
            work: Computes it.
        """
        with st.spinner(told, show_time=True):
            return _computed(self.key(*part), work)  # type: ignore[return-value]  # the key names the work

    def report(self) -> AgreementReport:
        """Every judge against people, and people with each other."""
        rules = self.rules
        return self.once(
            ("report",),
            "Comparing labels with verdicts …",
            lambda: agreement.agreement(
                self.workspace,
                round_id=self.round_id,
                unit=rules.unit,
                unparsable=rules.unparsable,
                inconsistent=rules.inconsistent,
                both_bad=rules.both_bad,
            ),
        )


def remember(first: Mapping[str, object]) -> None:
    """Keep the values of widgets while the person is on another page, where Streamlit forgets them.

    Args:
        first: Keys of widgets that are drawn in this very run, each with its value at first.
    """
    kept: dict[str, object] = st.session_state.setdefault("agreement_chosen", {})
    for key, value in first.items():
        if key in st.session_state:
            kept[key] = st.session_state[key]
        else:
            st.session_state[key] = kept.get(key, value)


def percent(value: float) -> str:
    """A share as people write it."""
    return f"{100 * value:.0f} %"


def between(result: Result) -> str:
    """A share with its interval, or that there is none."""
    if isinstance(result, NotEstimable):
        return "cannot be estimated"
    return f"{percent(result.value)} ({100 * result.low:.0f} to {percent(result.high)})"


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def unclear(results: Mapping[str, Result]) -> None:
    """Say which numbers the data cannot give, and why; those with one reason together."""
    reasons: dict[str, list[str]] = {}
    for name, result in results.items():
        if isinstance(result, NotEstimable):
            reasons.setdefault(result.reason, []).append(name)
    for reason, names in reasons.items():
        listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        st.caption(f"{plain(listed, 600)}: cannot be estimated, {plain(reason)}.")


def spoken(results: Mapping[str, Result]) -> str:
    """Estimates in one line, for those who do not see the picture."""
    return "; ".join(
        f"{name} {each.value:.2f}, {each.low:.2f} to {each.high:.2f}"
        for name, each in results.items()
        if isinstance(each, Estimate)
    )

"""The report's appendix: how each number is computed, and who said so first."""

from __future__ import annotations

from typing import NamedTuple


class Method(NamedTuple):
    """A number, its formula in words and symbols, and its source."""

    number: str
    formula: str
    source: str


METHODS: tuple[Method, ...] = (
    Method(
        "Difference of right answers over all traffic",
        "Δ = Σ_h W_h Δ_h, new minus old. h: identical outputs (Δ_h = 0 by definition), judged ties, disagreements of a "
        "task, pairs with known correctness. W_h: share of traffic. Within h the Hájek mean Σ w x / Σ w, "
        "w = 1 / (probability of a label × labels on the pair).",
        "Cochran 1977, ch. 5; Hájek 1971; Särndal, Swensson & Wretman 1992, ch. 9",
    ),
    Method(
        "Its interval",
        "Score interval at the effective counts of the design, clustered by prompt: all δ with "
        "|Δ − δ| ≤ t √(v(δ) / n*), v(δ) the variance under the most likely shares whose difference is δ.",
        "Tango 1998, Stat Med 17:891; Liang & Zeger 1986; Kish 1965",
    ),
    Method(
        "The same with a judge's verdicts on all pairs",
        "Σ_h W_h (λ F_h + mean_h(y − λ f)): F_h the judge's mean over all pairs of h, y labels, f verdicts, "
        "0 ≤ λ ≤ 1 from other prompts. Used only where the judge saw 95 % of the pairs that can differ, which is "
        "settled before any number is seen.",
        "Angelopoulos, Duchi & Zrnic 2023 (PPI++); Fisch et al. 2024",
    ),
    Method(
        "Parity, regression, inconclusive",
        "Parity: the lower limit lies above −tolerance. Regression: the upper limit lies below −tolerance, "
        "after Holm's "
        "adjustment over the tasks. Else inconclusive. That all parts hold is an intersection–union claim: each at α.",
        "Berger 1982; Holm 1979",
    ),
    Method(
        "Failure categories",
        "Growth: share of traffic in which new shows the category, minus that of old; interval as above. A category "
        "nobody saw can still stand in up to 1 − α^(1/n*) of traffic.",
        "Clopper & Pearson 1934; Tango 1998",
    ),
    Method(
        "Direction of error",
        "D = (confident − cautious on new) − (confident − cautious on old), as shares of all traffic. Preserved: the "
        "whole interval inside ±margin. A shift either way beyond it is a regression.",
        "Schuirmann 1987 (two one-sided tests)",
    ),
    Method(
        "Tests beside the direction",
        "Bowker's test of symmetry and Stuart–Maxwell's of equal margins on plain counts; McNemar's on right or wrong.",
        "Bowker 1948; Stuart 1955; Maxwell 1970; McNemar 1947",
    ),
    Method(
        "Several looks at a growing round",
        "Looks share one α: by information fraction t a look may have spent α(t) = 2 − 2Φ(z_(1−α/2) / √t).",
        "Lan & DeMets 1983; O'Brien & Fleming 1979",
    ),
    Method(
        "Labels that are missing",
        "n = (z_α + z_power)² v (1 − ρ²) / tolerance², v the variance that one label adds, ρ the correlation of the "
        "judge's verdicts with labels (0 without a judge), for a true difference of 0.",
        "Chow, Shao & Wang 2008, ch. 3.1; Wright 2012 for where they are drawn",
    ),
    Method(
        "Tone",
        "People: share that finds old's tone fitter minus the share for new, sign flips of whole prompts. "
        "Wording: mean "
        "of new − old per trait, and d_z = J mean(d) / sd(d) on the logarithm of lengths and the root of rates.",
        "Dixon & Mood 1946; Lakens 2013, eq. 6; Hedges 1981",
    ),
    Method(
        "Calibration",
        "Brier score: mean (c − y)², c the stated confidence, y = 1 where the answer is right. Its paired "
        "difference is "
        "the test. ECE = Σ_b |Σ_(i∈b) (c_i − y_i)| / n over 10 bins closed on the right only describes. The curve is "
        "isotonic; its band is where a calibrated system would lie.",
        "Brier 1950; Guo 2017, eq. 5; Dimitriadis, Gneiting & Jordan 2021",
    ),
    Method(
        "Agreement",
        "Raw share of equal answers, Cohen's κ = (p_o − p_e) / (1 − p_e), Gwet's AC1, Krippendorff's α; shown together "
        "because κ alone misleads where one answer is rare.",
        "Cohen 1960; Gwet 2008; Krippendorff 2011",
    ),
    Method(
        "Benchmarks and golden set",
        "Mean of new − old per example, clustered by prompt; no weights, because no traffic was sampled.",
        "Tango 1998; Liang & Zeger 1986",
    ),
    Method(
        "Hashes",
        "SHA-256 of the contract, of the configuration, of a round's frame, of the evidence (labels, known outcomes, "
        "weights and the judge's view of each pair).",
        "FIPS 180-4",
    ),
    Method(
        "The adversarial set's chain",
        "Row k carries SHA-256 over its content and the digest of row k − 1; texts enter by a salted digest of their "
        "own, so that they can be erased. The head vouches for every row before it.",
        "Haber & Stornetta 1991",
    ),
)

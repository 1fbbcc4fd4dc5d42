"""The calibration section through Streamlit's own test runner: words first, empty states that say what to do."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def section(kind: str) -> AppTest:
    """The section alone on a page, for a report made of the arrays that `kind` names."""

    def script(kind: str) -> None:
        import json
        import tempfile
        from dataclasses import replace
        from pathlib import Path

        import numpy as np

        from review.services.calibration import CertaintyShift, calibration_of_files
        from review.stats.calibration import mean_difference
        from review.stats.estimate import NotEstimable
        from review.ui import calibration_section

        counts = ((9, 3, 0), (1, 20, 22), (0, 1, 4))
        steps = np.repeat([0, 1, 2, -1, 0, 1, -2, -1, 0], np.array(counts).ravel()).astype(np.float64)
        net = mean_difference(steps, np.arange(len(steps)))
        shift = CertaintyShift(("under", "right", "over"), counts, len(steps), net, {"people_unresolved": 3})
        rng = np.random.default_rng(1)
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{side}.jsonl" for side in ("old", "new")]
            luck = rng.random(400)
            for file, confidence in zip(files, (0.75, 0.95), strict=True):
                lines = [
                    {"id": n, "confidence": confidence, "correct": bool(luck[n] < 0.75), "`:red[x]`": 1}
                    for n in range(400)
                ]
                file.write_text("\n".join(json.dumps(line) for line in lines))
            report = calibration_of_files(*files)
        if kind == "nothing":
            report = replace(report, systems={}, shift=replace(shift, n=0, net=NotEstimable("nothing")))
        else:
            report = replace(report, shift=shift)
        calibration_section.show(report)

    return AppTest.from_function(script, kwargs={"kind": kind}, default_timeout=60).run()


def test_the_words_say_what_the_numbers_say() -> None:
    page = section("both")
    assert not page.exception
    told = " ".join(each.value for each in page.markdown)
    assert "New's confidences are worse than old's." in told
    assert "**New** says 95 %" in told
    assert "**New is surer than old, against what it may be.**" in told
    assert "points" in told
    # A field of the file is somebody's text: shown as it is, never read as Markdown.
    assert any("`:red[x]`" in each.value for each in page.text)
    assert "red[" not in told
    page.select_slider[0].set_value(0.9).run()
    assert not page.exception
    assert "From 90% on, the share answered by the machine changes by +100.0 points" in " ".join(
        each.value for each in page.markdown
    )


def test_the_empty_state_says_how_to_get_there() -> None:
    page = section("nothing")
    assert not page.exception
    told = " ".join(each.value for each in page.text)
    assert "No answer carries a confidence" in told
    assert "review calibration --old FILE" in told
    assert "Nobody has judged the certainty" in told

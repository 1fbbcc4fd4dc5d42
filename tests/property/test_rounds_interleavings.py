"""Whatever people do in whatever order, a round keeps its promises: at most k labels a pair, each kept, each once."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from review import settings as app_settings
from review.domain.card import Answers, Card
from review.services import ingest, label, rounds
from review.services.workspace import Workspace, open_workspace
from tests.conftest import NOW

PEOPLE = ("Ana", "Ben", "Chloe")
PAIRS = 4

people = st.sampled_from(PEOPLE)


class Round(RuleBasedStateMachine):
    """Three people with a few pairs: lease, show, answer, skip, correct, resend, give back, let time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.workspace: Workspace = open_workspace(app_settings.load(Path(self.folder.name) / "review.duckdb"))
        self.now = NOW
        self.seen: dict[str, dict[str, Card]] = {who: {} for who in PEOPLE}
        self.sent: list[tuple[str, Answers]] = []

    @initialize(overlap=st.integers(1, 2))
    def draw(self, overlap: int) -> None:
        file = Path(self.folder.name) / "pairs.jsonl"
        record = {"messages": [{"role": "user", "content": "Hi"}], "new": {"content": "b"}}
        lines = [json.dumps(record | {"pair_id": f"p{n}", "old": {"content": f"a{n}"}}) for n in range(PAIRS)]
        file.write_text("\n".join(lines))
        ingest.import_pairs(self.workspace, [file], now=NOW)
        self.overlap = overlap
        spec = rounds.DrawSpec(size=PAIRS, seed=1, overlap=overlap, repeat=0.5)
        self.round_id = rounds.draw(self.workspace, spec, "lead", NOW).round_id

    @rule(who=people, want=st.integers(1, 3))
    def ask(self, who: str, want: int) -> None:
        cards = label.queue(self.workspace, who, self.round_id, want, self.now)
        assert len(cards) <= want
        assert len({card.card_id for card in cards}) == len(cards)
        answered = {answers.card_id for by, answers in self.sent if by == who}
        assert not answered & {card.card_id for card in cards}, "something came twice"
        for card in cards:
            before = self.seen[who].setdefault(card.card_id, card)
            assert before.shown_first == card.shown_first

    @rule(who=people, data=st.data())
    def look(self, who: str, data: st.DataObject) -> None:
        if self.seen[who]:
            label.shown(self.workspace, who, data.draw(st.sampled_from(sorted(self.seen[who]))), self.now)

    @rule(who=people, kind=st.sampled_from(["label", "label", "skip"]), data=st.data())
    def answer(self, who: str, kind: str, data: st.DataObject) -> None:
        """Also late ones, second ones from another tab, and corrections of what was said before."""
        if not self.seen[who]:
            return
        card_id = data.draw(st.sampled_from(sorted(self.seen[who])))
        mine = [sent.label_id for by, sent in self.sent if by == who and sent.card_id == card_id]
        supersedes = data.draw(st.sampled_from([None, *mine]))
        answers = Answers.model_validate(
            {
                "label_id": f"label-{len(self.sent):04}",
                "card_id": card_id,
                "kind": kind,
                "better": "left" if kind == "label" else None,
                "supersedes": supersedes,
            }
        )
        (receipt,) = label.submit(self.workspace, who, [answers], self.now)
        assert receipt.status in ("stored", "surplus")
        self.sent.append((who, answers))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """An outbox that saw no acknowledgement sends several at once."""
        who = data.draw(people)
        mine = [answers for by, answers in self.sent if by == who]
        assert [each.status for each in label.submit(self.workspace, who, mine, self.now)] == ["duplicate"] * len(mine)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_as_somebody_else(self, data: st.DataObject) -> None:
        by, answers = data.draw(st.sampled_from(self.sent))
        stranger = data.draw(people.filter(lambda who: who != by))
        fresh = answers.model_copy(update={"label_id": "stolen-label"})
        assert [each.status for each in label.submit(self.workspace, stranger, [answers, fresh], self.now)] == [
            "refused",
            "refused",
        ]

    @rule(who=people)
    def give_back(self, who: str) -> None:
        label.release(self.workspace, who, self.now)

    @rule(minutes=st.sampled_from([1, 29, 31, 61]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @invariant()
    def promises_hold(self) -> None:
        if not hasattr(self, "round_id"):
            return
        cursor = self.workspace.database.cursor()
        stored = cursor.execute("SELECT label_id FROM label").fetchall()
        assert sorted(row[0] for row in stored) == sorted(answers.label_id for _, answers in self.sent)
        current = cursor.execute(
            "SELECT pair_id, reviewer FROM current_label WHERE kind = 'label' AND occurrence = 0 AND NOT surplus"
        ).fetchall()
        assert len(set(current)) == len(current), "one person counts twice on one pair"
        assert all(n <= self.overlap for n in Counter(pair for pair, _ in current).values())
        done = cursor.execute("SELECT pair_id, reviewer FROM completion").fetchall()
        assert sorted(done) == sorted(current), "what counts and what fills places differ"
        heads = cursor.execute(
            "SELECT count(*) FROM current_label GROUP BY round_id, pair_id, reviewer, occurrence HAVING count(*) > 1"
        ).fetchall()
        assert heads == [], "corrections branched"

    def teardown(self) -> None:
        """However it went, a fourth, fifth person can finish the round: nothing is left unserved."""
        try:
            if hasattr(self, "round_id"):
                self.finish()
        finally:
            self.workspace.close()
            self.folder.cleanup()

    def finish(self) -> None:
        later = self.now + timedelta(hours=3)
        for who in ("Dora", "Emil"):
            while cards := label.queue(self.workspace, who, self.round_id, 5, later):
                assert not (who == "Dora" and len(cards) > PAIRS)
                said = [
                    Answers(label_id=f"{who}-{card.card_id}", card_id=card.card_id, better="same") for card in cards
                ]
                label.submit(self.workspace, who, said, later)
        progress = rounds.progress(self.workspace, self.round_id)
        assert (progress.state, progress.done) == ("finished", PAIRS * self.overlap)
        assert not any(rounds.has_open_slots(self.workspace, who) for who in ("Dora", "Emil"))


TestRound = Round.TestCase
TestRound.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("overlap", [1, 2])
def test_a_skip_that_becomes_a_label_and_back_in_one_sending(
    workspace: Workspace, tmp_path: Path, overlap: int
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(
        json.dumps(
            {
                "pair_id": "p",
                "messages": [{"role": "user", "content": "Hi"}],
                "old": {"content": "a"},
                "new": {"content": "b"},
            }
        )
    )
    ingest.import_pairs(workspace, [file], now=NOW)
    drawn = rounds.draw(workspace, rounds.DrawSpec(size=1, seed=1, overlap=overlap, repeat=0), "lead", NOW)
    (card,) = label.queue(workspace, "Ana", drawn.round_id, 1, NOW)
    chain = [
        Answers.model_validate(
            {
                "label_id": f"answer-{n}",
                "card_id": card.card_id,
                "kind": "label" if n % 2 == 0 else "skip",
                "supersedes": f"answer-{n - 1}" if n else None,
            }
        )
        for n in range(5)
    ]
    assert {receipt.status for receipt in label.submit(workspace, "Ana", chain, NOW)} == {"stored"}
    assert rounds.progress(workspace, drawn.round_id).done == 1
    found = label.last(workspace, "Ana", drawn.round_id)
    assert found is not None
    assert found[1].label_id == "answer-4"

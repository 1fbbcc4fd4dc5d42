"""How much there is of everything."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from review.store.database import Database
from review.store.stamp import values


class Counts(NamedTuple):
    """Row counts. `judged` pairs have a verdict; `labels` are people's current labels, simulated ones apart.

    `clusters` are those in use; `responses` are replayed answers of all stacks.
    """

    pairs: int
    prompts: int
    judged: int
    verdicts: int
    judges: int
    rounds: int
    labels: int
    simulated: int
    reviewers: int
    entries: int
    traces: int
    clusters: int
    samples: int
    responses: int


class Day(NamedTuple):
    """Labels of one reviewer on one day in one round."""

    when: datetime
    reviewer: str
    labels: int
    simulated: bool


def read(database: Database) -> Counts:
    """Count everything, in one statement so that the numbers belong together."""
    found = values(
        database.cursor(),
        "SELECT count(*) FROM pair",
        "SELECT count(DISTINCT prompt_id) FROM pair",
        "SELECT count(DISTINCT pair_id) FROM verdict",
        "SELECT count(*) FROM verdict",
        "SELECT count(DISTINCT judge) FROM verdict",
        "SELECT count(*) FROM round",
        "SELECT count(*) FROM current_label WHERE kind = 'label' AND NOT simulated",
        "SELECT count(*) FROM current_label WHERE kind = 'label' AND simulated",
        "SELECT count(DISTINCT reviewer) FROM label WHERE NOT simulated",
        "SELECT count(*) FROM adversarial_entry",
        "SELECT count(*) FROM trace",
        "SELECT count(*) FROM cluster ANTI JOIN cluster_retired USING (cluster_id)",
        "SELECT count(*) FROM sample",
        "SELECT count(*) FROM response",
    )
    return Counts(*map(int, found))


def labelling_days(database: Database, limit: int) -> list[Day]:
    """The latest days on which people labelled, newest first."""
    rows = (
        database.cursor()
        .execute(
            """
            SELECT max(received_at) AS latest, reviewer, count(*), bool_or(simulated)
            FROM label WHERE kind = 'label'
            GROUP BY reviewer, date_trunc('day', received_at) ORDER BY latest DESC LIMIT $limit
            """,
            {"limit": limit},
        )
        .fetchall()
    )
    return [Day(*row) for row in rows]

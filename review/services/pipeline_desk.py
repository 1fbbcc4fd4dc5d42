"""The pipeline's own operation: draw the round of what was replayed, once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from review.errors import BadInput
from review.services import rounds
from review.services.desk import Answer, Call
from review.services.rounds import DrawSpec, RoundSummary
from review.services.workspace import Workspace
from review.store import rounds as store


def draw(workspace: Workspace, call: Call) -> Answer:
    """Draw a round from the pairs of one source, unless one was drawn from it before.

    Arguments: source, seed, size, overlap, name, by. The document's round_id is None where old and new answered all
    alike, and `notes` say so.
    """
    said = call.arguments
    standing = [each for each in store.read_rounds(workspace.database.cursor()) if each.source == said["source"]]
    if standing:
        return Answer(_document(rounds.get(workspace, standing[-1].round_id), new=False))
    try:
        drawn = rounds.draw(workspace, DrawSpec(**said), call.by, call.now)
    except BadInput as error:
        return Answer({"round_id": None, "new": False, "size": 0, "notes": [str(error)]})
    return Answer(_document(rounds.get(workspace, drawn.round_id), new=True))


def _document(found: RoundSummary, *, new: bool) -> dict[str, Any]:
    strata = [
        {"stratum": each.stratum, "frame": each.frame, "drawn": each.drawn, "pi": each.pi} for each in found.strata
    ]
    return {
        "round_id": found.round_id,
        "name": found.title,
        "new": new,
        "size": sum(each.drawn for each in found.strata),
        "counts": asdict(found.counts),
        "strata": strata,
        "notes": list(found.notes) if new else [],
    }

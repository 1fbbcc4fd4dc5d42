"""A judge with simple taste behind a real HTTP server, and pairs for it; shared by the tests of judging."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from review.domain.pipeline import Judges, Price, Provider
from review.services import ingest
from review.services.desk import LocalDesk
from review.services.workspace import Workspace
from tests.conftest import NOW
from tests.faults import FaultServer, prompt_of

PART = re.compile(r"^([\w ]+):\n<material-([0-9a-f]{16})>\n(.*?)\n</material-\2>", re.M | re.S)


def materials(document: dict[str, Any]) -> dict[str, Any]:
    """What a judge is shown: conversation, answer A, answer B."""
    return {name: json.loads(text) for name, _, text in PART.findall(prompt_of(document))}


def opinion(document: dict[str, Any]) -> str:
    """Prefers the answer that says "good" oftener; arguments are the same when they are spelt alike; may be told to
    prefer what stands first, to babble, or to reply by chance of the request's number."""
    shown = materials(document)
    a, b = json.dumps(shown["answer A"]), json.dumps(shown["answer B"])
    if "same_arguments" in json.dumps(document.get("response_format", "")):
        return json.dumps({"rationale": "spelling", "same": a.lower() == b.lower()})
    if "babble" in a + b:
        return "I like both."
    ahead = a.count("good") - b.count("good")
    winner = "A" if "first" in a + b or ahead > 0 else "B" if ahead < 0 else "tie"
    return json.dumps(
        {
            "rationale": "it says good",
            "error_a": "none",
            "error_b": "cautious",
            "calibration_a": "right",
            "calibration_b": "under",
            "tone": "A" if ahead > 0 else "B" if ahead < 0 else "same",
            "winner": winner,
        }
    )


def provider(server: FaultServer | str, name: str = "near", **more: Any) -> Provider:
    """A provider on a fault server; prices of 1 and 5 dollars unless said otherwise."""
    url = server if isinstance(server, str) else server.url
    more = {"model": "judge-1", "price": Price(input=1, output=5), "retries": 1, **more}
    return Provider(name=name, base_url=url, **more)


def judges(*providers: Provider, **more: Any) -> Judges:
    """A configuration without a semantic cache and anchors unless asked for."""
    cache = {"semantic": False, **more.pop("cache", {})}
    return Judges.model_validate({"providers": providers, "anchors": 0, "cache": cache, **more})


def desk(workspace: Workspace, configured: Judges) -> LocalDesk:
    """The workspace's desk under another configuration of judges."""
    config = workspace.settings.config.model_copy(update={"judges": configured})
    changed = Workspace(workspace.database, workspace.settings.model_copy(update={"config": config}), workspace.key)
    return LocalDesk(changed, "tester")


def bring(workspace: Workspace, folder: Path, rows: list[dict[str, Any]]) -> None:
    """Import pairs as they are: there is nothing personal in them to look for."""
    config = workspace.settings.config
    bare = config.model_copy(update={"replay": config.replay.model_copy(update={"strip_pii": False})})
    quick = Workspace(workspace.database, workspace.settings.model_copy(update={"config": bare}), workspace.key)
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ingest.import_files(quick, "pairs", [file], now=NOW)


def pair(pair_id: str, old: Any = "good", new: Any = "bad", **more: Any) -> dict[str, Any]:
    """A pair as imported; an answer is a text, or an output."""
    return {
        "pair_id": pair_id,
        "prompt_id": pair_id,
        "messages": [{"role": "user", "content": f"Question of {pair_id}"}],
        "old": old if isinstance(old, dict) else {"content": old, "model": "stack-old"},
        "new": new if isinstance(new, dict) else {"content": new, "model": "stack-new"},
        **more,
    }


def called(arguments: str, name: str = "pay", **more: Any) -> dict[str, Any]:
    """An output that calls one tool."""
    return {"tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}], **more}

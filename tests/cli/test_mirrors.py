"""mongo_url=, sync_mongo.py and use_wandb= as a user has them."""

import json
import signal
import struct
import time
from pathlib import Path

import pytest

import sync_mongo
from mirrors import wandb_runs
from mirrors.follower import Pace, Timeouts
from training import mirroring

FEW = ("t_max=400", "seed=3")


def points(database, run_id=1):
    found = database.metrics.find({"run_id": run_id})
    return {(one["name"], *point) for one in found for point in zip(one["steps"], one["values"], strict=True)}


def on_file(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {(point["name"], point["step"], point["value"]) for point in lines}


@pytest.fixture
def quick(monkeypatch):
    """A server that does not answer is given up soon."""
    monkeypatch.setattr(mirroring, "TIMEOUTS", Timeouts(find=0.3, answer=0.3))
    monkeypatch.setattr(mirroring, "PACE", Pace(every=0.05, last=1.0))


def test_a_run_is_in_mongodb_when_it_ends(cli, tools, mongod, request, capfd):
    name = mongod.database_of(request)
    folder = cli.train("iql", "matrix_game", *FEW, f"mongo_url={mongod.url}", f"mongo_db={name}")
    with mongod.client() as client:
        (run,) = client[name].runs.find()
        assert (run["status"], run["config"]["seed"], run["result"]) == (
            "COMPLETED",
            3,
            tools.read(folder, "run")["result"],
        )
        assert points(client[name]) == on_file(folder)
    status = sync_mongo.main([str(cli.results), "--url", mongod.url, "--db", name])
    assert (status, capfd.readouterr().out) == (0, "1 runs: 1 unchanged; 0 points added\n")


def test_the_copy_changes_nothing_of_the_run(cli, mongod, request):
    url, name = f"mongo_url={mongod.url}", f"mongo_db={mongod.database_of(request)}"
    assert on_file(cli.train("ippo", "matrix_game", *FEW)) == on_file(cli.train("ippo", "matrix_game", *FEW, url, name))


def test_a_failed_run_is_there_with_its_fault(cli, mongod, request, monkeypatch):
    name = mongod.database_of(request)

    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("training.experiment.Experiment.iterate", broken)
    with pytest.raises(ZeroDivisionError):
        cli("--config=iql", "--env-config=matrix_game", "with", *FEW, f"mongo_url={mongod.url}", f"mongo_db={name}")
    with mongod.client() as client:
        (run,) = client[name].runs.find()
        assert run["status"] == "FAILED"
        assert "a bug" in "".join(run["fail_trace"])


@pytest.mark.parametrize("fault", ["gone", "stalled", "full"])
def test_trouble_costs_one_warning_and_sync_completes(cli, own_mongod, quick, fault):
    server = own_mongod
    {"gone": server.kill, "stalled": lambda: server.signal(signal.SIGSTOP), "full": lambda: server.full(True)}[fault]()
    given = (*FEW, "test_nepisode=4", "hidden_dim=8", f"mongo_url={server.url}")
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", *given)
    assert outcome.status == 0
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"warning: MongoDB at 127.0.0.1:{server.port}: ")
    assert "sync_mongo.py" in line
    {"gone": server.start, "stalled": lambda: server.signal(signal.SIGCONT), "full": lambda: server.full(False)}[
        fault
    ]()
    assert sync_mongo.main([str(cli.results), "--url", server.url]) == 0
    with server.client() as client:
        (run,) = client.sacred.runs.find()
        assert run["status"] == "COMPLETED"
        assert points(client.sacred) == on_file(cli.runs()[0])


@pytest.mark.slow
def test_a_server_that_stalls_for_40_seconds_of_a_real_run(cli, own_mongod):
    """With the timeouts that users have; the run is not slower for it, one warning, and everything arrives."""
    server = own_mongod
    given = ("t_max=100000000", "test_interval=20000", "test_nepisode=4", f"mongo_url={server.url}", "quiet=True")
    process = cli.start("--config=iql", "--env-config=matrix_game", "with", *given)

    def written():
        return sum(len((folder / "metrics.jsonl").read_bytes()) for folder in cli.runs())

    with server.client() as client:
        while client.sacred.metrics.count_documents({}) == 0:
            time.sleep(0.2)
    server.signal(signal.SIGSTOP)
    before = written()
    time.sleep(40)
    assert written() > before
    server.signal(signal.SIGCONT)
    time.sleep(25)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[0]
    assert said.count("warning: MongoDB") == said.count("warning:") == 1
    with server.client() as client:
        assert client.sacred.runs.find_one()["status"] == "INTERRUPTED"
        assert points(client.sacred) == on_file(cli.runs()[0])


def test_sync_of_a_server_that_is_not_there(cli, monkeypatch, capfd):
    monkeypatch.setattr(sync_mongo, "FIND", 0.2)
    cli.train("iql", "matrix_game", *FEW)
    assert sync_mongo.main([str(cli.results), "--url", "mongodb://joe:secret@127.0.0.1:1"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: MongoDB at 127.0.0.1:1: [Errno 111] Connection refused. Is the server running, and is it its address?\n"
    )


def test_sync_names_a_damaged_run_and_copies_the_rest(cli, mongod, request, capfd):
    name = mongod.database_of(request)
    folder = cli.train("iql", "matrix_game", *FEW)
    damaged = folder.parent / "2"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    (damaged / "config.json").write_text("{}")
    status = sync_mongo.main([str(cli.results), "--url", mongod.url, "--db", name])
    said = capfd.readouterr()
    assert (status, said.out.split(";")[0]) == (1, "2 runs: 1 new, 1 left out")
    assert said.err.startswith(f"warning: {damaged} is left out: run.json is damaged")
    assert sync_mongo.main([str(cli.results), "--url", mongod.url, "--db", "a b"]) == 2
    assert (
        capfd.readouterr().err
        == "error: --db a b: database names cannot contain the character ' '. Give another name.\n"
    )


def test_sync_of_nothing(tmp_path, capsys):
    assert sync_mongo.main([str(tmp_path), "--url", "mongodb://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.startswith(f"error: No runs found under '{tmp_path}'. A run is a folder with ")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mongo_url=127.0.0.1:27017", "'127.0.0.1:27017' is no address of a MongoDB server"),
        (
            "mongo_url=mongodb://joe:secret@here:port",
            "The MongoDB address 'mongodb://joe:***@here:port' cannot be used",
        ),
        ("mongo_db=a/b", "mongo_db"),
        ("wandb_mode=on", "wandb_mode"),
    ],
)
def test_a_wrong_setting_ends_before_anything_starts(cli, word, message):
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", word)
    assert outcome.status == 2
    assert message in outcome.err
    assert "secret" not in outcome.err
    assert not cli.results.exists()


def test_a_password_is_in_no_file(cli, mongod, quick):
    url = f"mongodb://joe:secret@127.0.0.1:{mongod.port}"
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", *FEW, "test_nepisode=4", f"mongo_url={url}")
    assert "uthentication failed" in outcome.err
    assert "secret" not in outcome.err + outcome.out
    found = [path for path in cli.results.rglob("*") if path.is_file() and b"joe:secret" in path.read_bytes()]
    assert found == []
    (folder,) = cli.runs()
    assert json.loads((folder / "config.json").read_text())["mongo_url"] == url.replace("secret", "***")


@pytest.fixture
def wandb_alone(monkeypatch, tmp_path):
    """Nothing leaves this machine, and nothing is written outside the test's folder."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb_own"))
    monkeypatch.setattr(mirroring, "PACE", Pace(every=0.05, last=60.0))


def messages(content):
    """Records of W&B's file: LevelDB's log format (blocks of 32 KiB) after 7 bytes of its own."""
    place, parts = 7, b""
    while place < len(content):
        left = 2**15 - place % 2**15
        if left < 7:  # too little for a header
            place += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def recorded(place):
    """What an offline run of W&B holds: its history by step, its settings, its project and its group."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # as at the end of a program: only then its own process has written everything
    (file,) = Path(place).glob("offline-run-*/*.wandb")
    history, config, about = {}, {}, {}
    for data in messages(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            history.setdefault(row.pop("_step", record.history.step.num), {}).update(row)
        elif kind == "run":
            about = {"project": record.run.project, "group": record.run.run_group, "name": record.run.display_name}
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
    return history, config, about


def test_wandb_offline_has_every_point(cli, wandb_alone):
    folder = cli.train("iql", "matrix_game", *FEW, "use_wandb=True", "wandb_project=ours", "wandb_save_model=True")
    history, config, about = recorded(cli.results / "wandb")
    ours = {(name, step, value) for name, step, value in on_file(folder) if value is not None}
    theirs = {(name, step, row[name]) for step, row in history.items() for name in row if not name.startswith("_")}
    assert ours == theirs
    assert (config["seed"], config["name"], about["project"]) == (3, "iql", "ours")
    assert about["group"].startswith("iql_matrix_game-climbing_")
    assert about["name"].endswith("_seed3_1")
    (kept,) = cli.results.glob("wandb/offline-run-*/files/*/*/agent.th")
    assert kept.read_bytes() == next(cli.results.glob("models/*/*/agent.th")).read_bytes()


def test_wandb_that_cannot_be_reached_costs_one_warning(cli, wandb_alone, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_runs, "ANSWER", 1.0)
    given = (*FEW, "test_nepisode=4", "hidden_dim=8", "use_wandb=True", "wandb_mode=online")
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", *given)
    assert outcome.status == 0
    (line,) = [line for line in outcome.err.splitlines() if "warning" in line]
    assert line.startswith("warning: Weights & Biases: ")
    assert "recorded offline instead" in line
    assert recorded(cli.results / "wandb")[0]


def test_wandb_disabled_does_nothing(cli):
    cli.train("iql", "matrix_game", *FEW, "use_wandb=True", "wandb_mode=disabled")
    assert not (cli.results / "wandb").exists()


def test_wandb_that_is_not_installed(cli, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", "use_wandb=True")
    assert (outcome.status, outcome.err) == (
        2, "error: use_wandb=True needs the Python package wandb: pip install -r requirements-wandb.txt.\n"
    )  # fmt: skip

"""Sweeps on Ray: a real cluster of two nodes on this machine, one of which is killed in the middle.

Ray keeps the token that it finds when it is imported, so that cluster and sweeps are processes of their own.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import sweep
from core import ray_cluster
from core.errors import UserError
from studies import on_ray

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs Ray: pip install -r requirements-ray.txt", allow_module_level=True)

SOURCE = Path(__file__).parents[2] / "src"
GAME = ["--config", "iql", "--env-config", "matrix_game"]
TINY = ["hidden_dim=8", "test_nepisode=2", "test_interval=100000", "batch_size=8", "save_model_interval=200"]
SWEEP = f"""
import sys; sys.path.insert(0, {str(SOURCE)!r})
import sweep; from studies import filed
filed.QUIET = 3.0; sys.exit(sweep.main(sys.argv[1:]))"""
"""A program that is sweep.py, but waits less for signs of life of runs whose node is gone (Ray kills them with it)."""
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
swift = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 8}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": swift})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes(120)
print("address", cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node, one core each; a line on its standard input kills the second one.

    It ignores Ctrl-C, as what a script starts in the background does.
    """
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_TMPDIR": f"/tmp/ray-{os.getpid()}"}
    own["RAY_agent_register_timeout_ms"] = "300000"  # tests run side by side
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=os.environ | own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        process.address = next(line.split()[1] for line in process.stdout if line.startswith("address "))
        process.own = own
        yield process
    finally:
        process.stdin.close()
        process.wait(60)
        shutil.rmtree(own["RAY_TMPDIR"], ignore_errors=True)


@pytest.fixture
def start(cluster, tmp_path):
    """A sweep as a process of its own."""
    made = []

    def begin(*words):
        command = [sys.executable, "-c", SWEEP, *GAME, "--address", cluster.address, *words]
        made.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=os.environ | cluster.own, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
        return made[-1]

    yield begin
    for process in made:
        process.kill()


@pytest.fixture
def call(play):
    """The same in this process, where it comes to no cluster."""
    return partial(play, sweep)


def runs(folder):
    return [
        (json.loads((path.parent / "config.json").read_text())["seed"], json.loads(path.read_text())["status"], path)
        for path in folder.glob("sacred/*/*/*/run.json")
    ]


def until_two_have_saved(process, folder):
    while len({path.parent for path in folder.glob("models/*/[0-9]*")}) < 2:
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail("".join(process.communicate()))


def test_a_sweep_that_is_asked_to_end_asks_its_runs(cluster, start, tmp_path):
    process = start("--seeds", "2", "with", "t_max=1000000", *TINY)
    until_two_have_saved(process, tmp_path / "results/sweep")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert (process.returncode, err) == (128 + signal.SIGTERM, "Stopped: the same command goes on from here.\n")
    assert [status for _, status, _ in runs(tmp_path / "results/sweep")] == ["INTERRUPTED"] * 2


def test_a_node_that_is_killed_only_moves_its_runs(cluster, start, call, tmp_path):
    folder, words = tmp_path / "results/sweep", ["--seeds", "3", "with", "t_max=20000", *TINY]
    process = start(*words)
    until_two_have_saved(process, folder)
    cluster.stdin.write("kill\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline() == "killed\n"
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), out
    assert "its node is gone; moved" in out
    found = runs(folder)
    completed = Counter(seed for seed, status, _ in found if status == "COMPLETED")
    assert completed == {1: 1, 2: 1, 3: 1}  # nothing lost, nothing twice
    (left,) = [(seed, path) for seed, status, path in found if status != "COMPLETED"]
    (again,) = [path for seed, status, path in found if seed == left[0] and status == "COMPLETED"]
    assert json.loads((again.parent / "info.json").read_text())["resumed_from_run"] == str(left[1].parent)
    status, out, _ = call(*GAME, *words)  # without the cluster
    assert (status, len(runs(folder))) == (0, len(found))
    assert "3 runs, 3 of them completed before" in out


def test_runs_that_no_node_has_room_for():
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0}}, {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}]
    nodes.append({"Alive": False, "Resources": {"CPU": 64.0}})
    ray = SimpleNamespace(nodes=lambda: nodes, remote=lambda task: task)
    assert on_ray.OnRay(ray, cpus=1, gpus=0).slots == 10
    assert on_ray.OnRay(ray, cpus=3, gpus=0).slots == 2
    assert on_ray.OnRay(ray, cpus=1, gpus=0.5).slots == 2
    with pytest.raises(UserError, match="No node of the Ray cluster has 64 cores and 0 GPUs"):
        on_ray.OnRay(ray, cpus=64, gpus=0)


@pytest.fixture
def deaf():
    """A port where something listens that is no Ray cluster."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_no_cluster(call, deaf, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "HEALTHY", 1.0)
    status, out, err = call(*GAME, "--address", f"127.0.0.1:{deaf}")
    assert (status, out) == (2, "")
    assert f"The Ray cluster 127.0.0.1:{deaf}" in err
    assert not list(tmp_path.glob("results/sweep/s*"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", ["127.0.0.1:1", "refused", "RAY_AUTH_TOKEN"]),
        ("ray://127.0.0.1:1", ["refused"]),
        ("nowhere.invalid:6379", ["nowhere.invalid"]),
        ("head", ["--address head", "host:port"]),
        ("127.0.0.1:99999", ["127.0.0.1:99999"]),
    ],
)
def test_a_cluster_that_cannot_be_reached(call, tmp_path, address, expected):
    status, out, err = call(*GAME, "--address", address)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert [word for word in expected if word not in err] == []
    assert not list(tmp_path.glob("results/sweep/s*"))


def test_the_address_of_the_environment_is_honoured(call, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    status, _, err = call(*GAME)
    assert status == 2
    assert "127.0.0.1:1" in err

"""Stop + resume equals the uninterrupted run bit for bit on CPU; and a film of it."""

import contextlib
import json
import re
import shutil
import signal
import subprocess

import pytest

from comparing import content, differences, points
from training.experiment import Experiment

ON, OFF = "asae", "qmix"
ALGORITHM = {
    ON: ["critic_hidden_dim=8", "obs_last_action=true", "test_sampled=true"],
    OFF: ["batch_size=8", "buffer_size=40", "use_rnn=true", "mixing_embed_dim=4", "hypernet_embed=8",
          "target_update_interval_or_tau=7", "epsilon_anneal_time=2000"],
}  # fmt: skip
# nothing divides anything: the checkpoint falls between two writes of every log
RUN = [
    "seed=7",
    "keep_replay_buffer=true",
    "save_model_interval=1100",
    "learner_log_interval=450",
    "runner_log_interval=350",
    "test_interval=650",
]


@pytest.mark.parametrize("algorithm", [ON, OFF])
def test_resume_from_a_checkpoint_in_between_repeats_the_run(cli, tools, algorithm):
    whole = cli.train(algorithm, "spread", *RUN, *ALGORITHM[algorithm], "t_max=3300")
    first, *_, last = tools.steps(whole)
    assert first < last - 1000
    # the run as it was when its first checkpoint was written: older ones lose their replay when the next is there
    half = cli.train(algorithm, "spread", *RUN, *ALGORITHM[algorithm], f"t_max={first}", "local_results_path=half")
    from_half = cli.resume(half, "t_max=3300", "local_results_path=results")
    assert tools.steps(from_half) == [step for step in tools.steps(whole) if step > first]
    state = content(tools.models(whole) / str(last))
    assert differences(state, content(tools.models(from_half) / str(last))) == []
    assert {"agent.th", "state.pt"} <= state.keys()
    learner = {"optimizers", "targets", "reward_norm"} | ({"critic"} if algorithm != OFF else set())
    assert set(state["state.pt"]["teams"]["agents"]["learner"]) == learner
    assert set(state["state.pt"]["teams"]["agents"]["controller"]) == {"explore", "test_policy", "learner"}
    assert ("replay.pt" in state) == (algorithm == OFF)
    wanted = points(whole, first)
    assert wanted == points(from_half, first)
    assert {"return_mean", "test_return_mean", "agent_grad_norm" if algorithm == ON else "loss"} <= wanted.keys()
    assert tools.read(from_half, "info")["resumed_from_run"] == str(half)
    assert tools.read(from_half, "info")["resumed_at"] == first
    if algorithm == ON:  # nothing but the newest checkpoint's replay is ever missing
        again = cli.resume(tools.models(whole) / str(first))
        assert differences(state, content(tools.models(again) / str(last))) == []
        assert points(again, first) == wanted


def child_until(process, path, step):
    """Follow metrics.jsonl until a point has come at or after ``step``."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            pytest.fail(process.stdout.read())
        found = list(path.glob("sacred/*/*/*/metrics.jsonl"))
        lines = found[0].read_text().split("\n")[:-1] if found else []
        if lines and json.loads(lines[-1])["step"] >= step:
            return found[0].parent


@pytest.mark.parametrize("algorithm", [ON, OFF])
def test_sigterm_then_resume_equals_the_uninterrupted_run(cli, tools, algorithm):
    words = [*tools.TINY, *RUN[:2], *ALGORITHM[algorithm], "t_max=100000000", "save_model_interval=1000000"]
    process = cli.start(f"--config={algorithm}", "--env-config=spread", "with", *words)
    try:
        folder = child_until(process, cli.results, 600)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, out
    assert "Traceback" not in out
    assert "INTERRUPTED after" in out
    (resume,) = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ") and "src/" in line][-1:]
    assert resume[0] == "resume"
    assert resume[1].endswith(f" with resume={folder.relative_to(cli.folder)}")
    assert tools.read(folder, "run")["status"] == "INTERRUPTED"
    (stopped,) = tools.steps(folder)
    t_max = f"t_max={stopped + 600}"
    resumed = cli.resume(folder.relative_to(cli.folder), t_max)
    assert tools.read(resumed, "config")["seed"] == 7
    whole = cli.train(algorithm, "spread", *RUN[:2], *ALGORITHM[algorithm], t_max, "local_results_path=whole")
    ends = [tools.models(run) / str(tools.steps(run)[-1]) for run in (whole, resumed)]
    assert ends[0].name == ends[1].name
    assert differences(*map(content, ends)) == []
    assert points(resumed, stopped) == points(whole, stopped)


@pytest.mark.parametrize(
    ("hangups", "t_max", "returned", "status"),
    [(signal.SIG_DFL, 100_000_000, 128 + signal.SIGHUP, "INTERRUPTED"), (signal.SIG_IGN, 3000, 0, "COMPLETED")],
    ids=["saved", "nohup"],
)
def test_a_reader_that_goes_away_is_a_hangup(cli, tools, hangups, t_max, returned, status):
    words = [*tools.TINY, *RUN[:2], *ALGORITHM[ON], f"t_max={t_max}", "save_model_interval=100000000"]
    words += ["log_interval=250"]  # so that there is a line to write
    before = signal.signal(signal.SIGHUP, hangups)  # a process inherits it
    try:
        process = cli.start(f"--config={ON}", "--env-config=spread", "with", *words, program=("-c", tools.CHATTY))
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        folder = child_until(process, cli.results, 600)
        process.stdout.close()
        process.wait(timeout=60)
    finally:
        process.kill()
    assert process.returncode == returned
    assert tools.read(folder, "run")["status"] == status
    (stopped,) = tools.steps(folder)
    assert stopped >= 600
    assert status in (folder / "cout.txt").read_text()  # what nobody could see is recorded all the same


def test_a_test_that_is_interrupted_is_played_again(cli, tools, monkeypatch):
    """It leaves no trace: the resumed run's tests are those of the uninterrupted run."""
    from observers.interrupts import Interrupted

    words = [*RUN, *ALGORITHM[ON], "t_max=2000"]
    whole = cli.train(ON, "spread", *words)
    real = Experiment.test

    def test(self, sink):
        if self.t_env >= 600:  # in the sampled test, which draws actions: the greedy one is over
            play, calls = self.test_runner.play, []

            def interrupted(*arguments, **named):
                calls.append(1)
                result = play(*arguments, **named)
                if len(calls) == 2:
                    raise Interrupted(signal.SIGTERM)
                return result

            monkeypatch.setattr(self.test_runner, "play", interrupted)
        real(self, sink)

    monkeypatch.setattr(Experiment, "test", test)
    outcome = cli(f"--config={ON}", "--env-config=spread", "with", *tools.TINY, *words, "local_results_path=cut")
    assert outcome.status == 128 + signal.SIGTERM
    monkeypatch.setattr(Experiment, "test", real)
    (cut,) = (run for run in cli.runs() if run.is_relative_to(cli.folder / "cut"))
    (stopped,) = tools.steps(cut)
    resumed = cli.resume(cut, "local_results_path=results")
    assert points(resumed, stopped) == points(whole, stopped)
    now, then = (points(run, stopped - 1) for run in (resumed, whole))
    tests = [name for name in then if name.startswith("test_")]
    assert {"test_return_mean", "test_sampled_return_mean"} <= set(tests)
    assert {name: now[name] for name in tests} == {name: then[name] for name in tests}


# -- what may be given and changed -----------------------------------------------------------------------------------


@pytest.fixture
def run(cli):
    words = ["seed=1", "t_max=600", "save_model_interval=200", "keep_replay_buffer=true"]
    return cli.train(OFF, "spread", *ALGORITHM[OFF], *words)


def test_a_run_its_models_or_a_checkpoint_can_be_resumed(cli, tools, run):
    for path in (run, tools.models(run), tools.models(run) / "600"):
        resumed = cli.resume(path, "t_max=800")
        assert tools.steps(resumed) == [800]
        assert tools.read(resumed, "info")["resumed_from_run"] == str(run)
    named = cli(f"--config={OFF}", "--env-config=spread", "with", f"resume={run}", "t_max=800", "quiet=true")
    assert named.status == 0


def test_results_that_were_moved_can_be_resumed(cli, tools, run):
    shutil.move(cli.results, cli.folder / "elsewhere")
    moved = cli.folder / "elsewhere" / run.relative_to(cli.results)
    assert tools.steps(cli.resume(moved, "t_max=800")) == [800]


@pytest.mark.parametrize("words", [[], ["t_max=600"], ["t_max=400", "save_replay=true"]])
def test_a_completed_run_with_nothing_left_to_do_is_refused(cli, tools, run, words):
    before = {path for path in cli.results.rglob("*")}  # noqa: C416 (a generator)
    for path in (run, tools.models(run), tools.models(run) / "600"):
        outcome = cli("with", f"resume={path}", *words)
        assert (outcome.status, outcome.out) == (2, "")
        (line,) = outcome.err.splitlines()
        wanted = [f"resume={path}: nothing is left to do", "(step 600)", "larger t_max", f"checkpoint_path={path}"]
        assert [word for word in wanted if word not in line] == []
    assert set(cli.results.rglob("*")) == before
    shutil.move(cli.results, cli.folder / "moved")
    assert "nothing is left to do" in cli("with", f"resume={cli.folder / 'moved' / run.relative_to(cli.results)}").err


@pytest.mark.parametrize("status", ["INTERRUPTED", "RUNNING"])
def test_a_run_that_was_stopped_in_its_last_test_has_that_left(cli, tools, run, status):
    for path in (run, tools.models(run)):
        (run / "run.json").write_text(json.dumps(tools.read(run, "run") | {"status": status}))
        resumed = cli.resume(path)
        assert tools.read(resumed, "metrics")["test_return_mean"]["steps"] == [600]
        assert "t_max=600 is reached: the last test is what is left" in (resumed / "cout.txt").read_text()


def test_the_replay_buffer_goes_when_the_run_has_completed(cli, tools):
    words = ["seed=1", *ALGORITHM[OFF], "t_max=600", "save_model_interval=200"]
    whole = cli.train(OFF, "spread", *words)
    assert not list(tools.models(whole).glob("*/replay.pt"))
    told = (whole / "cout.txt").read_text()
    assert re.search(r"\nCheckpoints: 3, 0\.\d MiB; replay buffer of 0\.\d MiB removed \(keep_replay_buffer=True", told)
    assert "  resume " not in told
    outcome = cli("with", f"resume={whole}", "t_max=800")
    assert outcome.status == 2
    assert [
        word for word in ("replay.pt", "keep_replay_buffer=True", "checkpoint_path=") if word not in outcome.err
    ] == []
    kept = cli.train(OFF, "spread", *words, "keep_replay_buffer=true")
    assert [path.parent.name for path in tools.models(kept).glob("*/replay.pt")] == ["600"]
    assert re.search(
        r"\nCheckpoints: 3, 0\.\d MiB, 0\.\d MiB of them the replay buffer, in ", (kept / "cout.txt").read_text()
    )
    resumed = cli.resume(kept, "t_max=800", "keep_replay_buffer=false")
    assert not list(tools.models(resumed).glob("*/replay.pt"))
    assert list(tools.models(kept).glob("*/replay.pt"))  # of another run


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lr=0.01"], ["lr=0.0005", "lr=0.01", "command line", "checkpoint_path="]),
        (["seed=2"], ["seed=1", "seed=2"]),
        (["test_interval=100"], ["test_interval=400", "test_interval=100"]),
        (["batch_size_run=4"], ["batch_size_run=8", "batch_size_run=4"]),
        (["env_args.n_agents=4"], ["env_args.n_agents=3", "env_args.n_agents=4"]),
        (["load_step=200"], ["load_step=200", "resume=results/models/<run>/<step>"]),
        (["checkpoint_path=x"], ["either resume=", "or checkpoint_path="]),
        (["--config=vdn"], ["checkpoint of qmix", "--config=vdn", "give --config=qmix"]),
        (["--env-config=matrix_game"], ["spread", "--env-config=matrix_game"]),
    ],
)
def test_what_would_not_be_the_same_run_is_refused(cli, run, words, expected):
    options = [word for word in words if word.startswith("--")]
    runs = cli.runs()
    outcome = cli(*options, "with", f"resume={run}", *[word for word in words if word not in options])
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert [word for word in expected if word not in outcome.err] == []
    assert cli.runs() == runs


def test_where_the_environments_run_is_no_part_of_the_run(cli, tools):
    """Another number of workers, and another patience, and yet the same run."""
    where = ["env_args.n_workers=2", "env_args.worker_timeout=77"]
    game = ["env_args.time_limit=5", "seed=1", "batch_size_run=3", "test_n_envs=2", "keep_replay_buffer=true"]
    whole = cli.train("iql", "gymma", *game, "t_max=60", "env_args.n_workers=1")
    half = cli.train("iql", "gymma", *game, "t_max=30", "env_args.n_workers=1", "local_results_path=half")
    resumed = cli.resume(half, "t_max=60", *where)
    assert tools.read(resumed, "config")["env_args"]["n_workers"] == 2
    assert tools.read(resumed, "config")["env_args"]["worker_timeout"] == 77
    ends = [content(tools.models(run) / str(tools.steps(run)[-1])) for run in (whole, resumed)]
    assert differences(*ends) == []


def test_an_older_checkpoint_without_its_replay_says_what_to_do(cli, tools, run):
    older = tools.models(run) / "200"
    assert older.is_dir()
    assert not (older / "replay.pt").exists()
    outcome = cli("with", f"resume={older}")
    assert outcome.status == 2
    expected = ["replay.pt", f"resume={tools.models(run) / '600'}", f"checkpoint_path={older}"]
    assert [word for word in expected if word not in outcome.err] == []


def test_a_run_without_checkpoints_says_so(cli, tools):
    folder = cli.train("iql", "matrix_game", "t_max=1", "save_model=false")
    outcome = cli("with", f"resume={folder}")
    assert outcome.status == 2
    assert "save_model" in outcome.err

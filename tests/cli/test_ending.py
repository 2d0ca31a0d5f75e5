"""The commands that a run says at its end do what they say."""

import shlex
import sys
from pathlib import Path

import pytest

import plot
from training import ending

SOURCE = Path(__file__).parents[2] / "src"


def offered(text):
    """What the end of a run offers: "resume" -> the words of its command."""
    lines = text.partition("\nResults: ")[2].splitlines()[2:]
    return {line.split()[0]: shlex.split(line)[1:] for line in lines}


def run_as_told(cli, words):
    """Run a command line that was copied from the output, here rather than in a shell."""
    script, rest = Path(words[1]), words[2:]
    assert words[0] == "python" or Path(words[0]).samefile(sys.executable)
    if script.name == "plot.py":
        assert script.samefile(SOURCE / "plot.py")
        return plot.main(rest)
    assert script.samefile(SOURCE / "main.py")
    return cli(*rest).status


def test_what_a_completed_run_offers_works(cli, tools):
    words = ["seed=1", "t_max=1", "local_results_path=my results #2", "env_args.time_limit=5", "replay_episodes=1"]
    outcome = cli("--config=coma", "--env-config=spread", "with", *tools.TINY, *words)
    (run,) = cli.runs()
    found = offered(outcome.out)
    assert list(found) == ["resume", "evaluate", "film", "plot"]
    assert {run_as_told(cli, command) for command in found.values()} == {0}
    (resumed,) = set(cli.runs()) - {run}
    assert tools.read(resumed, "info")["resumed_from_run"] == str(run)
    results = cli.folder / "my results #2"
    assert len(list(results.glob("evaluations/coma/spread/*/run.json"))) == 2
    assert len(list((results / "replays").iterdir())) == 1
    assert (cli.folder / "curves.png").stat().st_size > 0


def test_where_nothing_can_be_drawn_resumed_or_plotted_it_is_not_offered(cli, tools):
    words = ["seed=1", "t_max=1", "batch_size=8"]
    game = ["--config=iql", "--env-config=matrix_game", "with", *tools.TINY, *words]
    assert list(offered(cli(*game).out)) == ["evaluate", "plot"]
    assert list(offered(cli(*game, "keep_replay_buffer=true").out)) == ["resume", "evaluate", "plot"]
    alone = cli(*game, "save_model=false", "test_nepisode=0").out
    assert alone.splitlines()[-1].startswith("  plot ")
    assert alone.splitlines()[-1].endswith(" --metric return_mean --out curves.png")
    assert alone.splitlines()[-2].startswith("Results: ")


def test_a_team_has_its_own_metric(cli, tools):
    words = ["t_max=1", "env_args.time_limit=5", "batch_size_run=1", "critic_hidden_dim=8"]
    outcome = cli(
        "--config=coma", "--env-config=predator_prey", "--team", "predator=random", "with", *tools.TINY, *words
    )
    command = offered(outcome.out)["plot"]
    assert command[-4:-2] == ["--metric", "test_prey_return_mean"]
    assert run_as_told(cli, command) == 0


def test_the_interpreter_is_named_where_python_would_be_another(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    assert ending._script("plot.py") == [sys.executable, str(SOURCE / "plot.py")]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3.11"))
    monkeypatch.chdir(SOURCE.parent)
    assert ending._script("plot.py") == ["python", "src/plot.py"]
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    assert ending._script("plot.py")[0] == "bin/python3.11"


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0.0 MiB"), (300_000_000, "286.1 MiB"), (2**31, "2.0 GiB")])
def test_sizes_are_short(n_bytes, text):
    assert ending._size(n_bytes) == text

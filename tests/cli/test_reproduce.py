"""python src/reproduce.py: what the figures run, what is written, mistakes."""

from functools import partial

import numpy as np
import pytest

import reproduce
from analysis.curves import Curve
from core.comparing import flattened
from studies import figures, placing
from studies.figures import FIGURES, Choice


@pytest.fixture
def call(play):
    return partial(play, reproduce)


def keys(run):
    """The settings of a run, env_args and teams flattened to dotted keys."""
    return flattened(run.settings())


# -- what is run -----------------------------------------------------------------------------------------------------


def test_all_names_have_a_figure():
    assert tuple(FIGURES) == reproduce.NAMES


@pytest.mark.parametrize("name", FIGURES)
def test_the_settings_of_every_run_are_valid_and_no_run_is_there_twice(name):
    runs = FIGURES[name].runs(Choice(seeds=2, scale=0.1))
    settings = [keys(run) for run in runs]
    iterations = 10_000 if name in ("fig6", "fig7", "fig8") else 1600
    for found in settings:
        assert found["t_max"] == iterations * 600 // 10
        assert (found["gamma"], found["batch_size_run"], found["env_args.time_limit"]) == (0.98, 4, 150)
        assert found["t_max"] / found["test_interval"] == 20
        assert found["test_nepisode"] == 100
    unique = {tuple(sorted((key, str(value)) for key, value in found.items())) for found in settings}
    assert len(unique) == len(runs)
    assert {found["seed"] for found in settings} == {1, 2}
    assert len({(run.panel, run.line) for run in runs}) * 2 == len(runs)


def test_figure_5_at_full_size():
    runs = FIGURES["fig5"].runs(Choice())
    assert len(runs) == 3 * 5 * 5
    settings = [keys(run) for run in runs]
    assert {found["t_max"] for found in settings} == {960_000}
    assert {(found["env_args.n_agents"], found["name"]) for found in settings} == {
        (n, name) for n in (3, 4, 5) for name in ("asae", "coma", "iql", "vdn", "qmix")
    }
    assert {found["batch_size"] for found in settings if "batch_size" in found} == {8}  # of 150 steps


def test_a_user_may_replay_more_in_figure_5():
    (run,) = FIGURES["fig5"].runs(Choice(seeds=1, algorithms=("iql",), sizes=(3,), words=("batch_size=32",)))
    assert keys(run)["batch_size"] == 32


def test_figures_6_to_8_are_who_against_whom():
    alone = [keys(run) for run in FIGURES["fig6"].runs(Choice(seeds=1))]
    assert {found["team.prey.plays"] for found in alone} == {"scripted:random"}
    assert {found["env_args.n_preys"] for found in alone} == {3}
    assert {found["t_max"] for found in alone} == {6_000_000}
    assert len(alone) == 15
    against = [keys(run) for run in FIGURES["fig7"].runs(Choice(seeds=1))]
    found = {
        (one["env_args.n_predators"], one["env_args.n_preys"], one["name"], one["team.prey.plays"]) for one in against
    }
    assert found == {(n, n, a, b) for n in (2, 3, 4) for a, b in (("asae", "coma"), ("coma", "asae"))}
    assert {one["team.prey.gamma"] for one in against} == {0.98}
    assert FIGURES["fig7"].runs(Choice()) == FIGURES["fig8"].runs(Choice())  # the same runs, run once


def test_figures_9_and_11_and_the_ablation_vary_one_thing():
    base = next(keys(run) for run in FIGURES["fig5"].runs(Choice(seeds=1)) if run.line == "asae")
    expected = {
        "fig9": [{"n_samples": m} for m in (1, 2, 5, 10, 20)],
        "fig11": [{"eps_clip": clip} for clip in (0.02, 0.05, 0.1, 0.2, 0.5)],
        "ablate": [{}, {"marginal": "exact"}, {"own_action": "expected"}, {"resync": True}, {"target_kl": 0.01}],
    }
    for name, variants in expected.items():
        found = [keys(run) for run in FIGURES[name].runs(Choice(seeds=1))]
        assert found == [base | variant for variant in variants]


def test_choices_narrow_a_figure():
    choice = Choice(seeds=1, algorithms=("vdn",), sizes=(4,), words=("lr=0.1", "t_max=7"))
    (run,) = FIGURES["fig5"].runs(choice)
    assert (keys(run)["name"], keys(run)["env_args.n_agents"]) == ("vdn", 4)
    assert (keys(run)["lr"], keys(run)["t_max"]) == (0.1, 7)
    chase = FIGURES["fig8"].runs(Choice(seeds=1, sizes=(3,), algorithms=("asae", "coma_tuned")))
    assert [(one.config, one.teams) for one in chase] == [
        ("asae", ("prey=coma_tuned",)), ("coma_tuned", ("prey=asae",))
    ]  # fmt: skip


# -- the whole way ---------------------------------------------------------------------------------------------------


def test_two_teams_are_run_drawn_and_not_repeated(call, tmp_path, monkeypatch):
    words = ["--seeds", 1, "--sizes", 2, "--scale", 0.0001, "--results", "out", "with"]
    words += ["hidden_dim=8", "critic_updates=1", "env_args.time_limit=20", "test_nepisode=3"]
    status, out, err = call("fig8", *words)
    assert (status, err) == (0, "")
    assert "2 runs, 0 of them completed before" in out
    assert (tmp_path / "out" / "fig8.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "fig8.md").read_text()
    assert "python src/reproduce.py fig8 --seeds 1 --scale 0.0001 --sizes 2 with hidden_dim=8" in page
    assert "2 of 2 runs" in page
    for line in ("asae predators, coma preys", "coma predators, asae preys"):
        assert f"| 2 vs 2 | {line} | 1 | 0" in page
    assert (
        "| ASAE's predators capture more than COMA's, and the more agents the larger the difference. | 2 vs 2: " in page
    )
    monkeypatch.setattr(placing.subprocess, "Popen", lambda *rest, **named: pytest.fail("it was run again"))
    (tmp_path / "out" / "fig8.png").unlink()
    status, out, err = call("fig7", "fig8", *words)
    assert (status, err) == (0, "")
    assert out.count("2 runs, 2 of them completed before") == 2
    assert (tmp_path / "out" / "fig8.png").exists()
    page = (tmp_path / "out" / "fig7.md").read_text()
    assert "2 vs 2: return of the preys | coma predators, asae preys" in page
    assert call("fig8", "--draw", *words)[0] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fig55"], ["Unknown figure 'fig55'", "Did you mean 'fig5'", "fig11", "ablate"]),
        (["fig10"], ["Unknown figure 'fig10'", "Did you mean"]),
        (["fig5", "ablat"], ["'ablat'", "Did you mean 'ablate'"]),
        (["fig5", "--seeds", "0"], ["--seeds", "above 0"]),
        (["fig5", "--scale", "-1"], ["--scale", "above 0"]),
        (["fig5", "--scale", "nan"], ["--scale", "above 0"]),
        (["fig5", "--jobs", "0"], ["--jobs", "above 0"]),
        (["fig5", "--sizes", "0"], ["--sizes", "1 or more"]),
        (["fig9", "--algorithms", "iql"], ["--algorithms", "fig5, fig6, fig7, fig8"]),
        (["fig7", "--algorithms", "iql"], ["fig7 and fig8 need two --algorithms", "iql"]),
        (["fig5", "--algorithms", "asea"], ["asea", "Did you mean 'asae'"]),
        (["fig5", "with", "lrr=1"], ["lrr", "Did you mean 'lr'"]),
        (["fig5", "--draw"], ["None of the 75 runs has completed"]),
        (["fig5", "--results", "file/x"], ["file/x", "cannot be written"]),
    ],
)
def test_mistakes(call, tmp_path, words, expected):
    (tmp_path / "file").write_text("")
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert [word for word in expected if word not in err] == []
    assert not list(tmp_path.glob("results/reproduce/*/*"))


def test_help_is_quick_because_it_imports_nothing_heavy(call):
    status, out, _ = call("--help")
    assert status == 0
    assert all(name in out for name in FIGURES)


# -- what is said of our curves --------------------------------------------------------------------------------------


def curve(panel, group, values, steps=None):
    values = np.array(values, float)
    steps = np.arange(values.shape[1]) * 600.0 if steps is None else np.array(steps, float)
    center = values.mean(0)
    return Curve(panel=panel, group=group, steps=steps, values=values, center=center, low=center, high=center)


CURVES = [
    curve("N = 3", "asae", [[-10, -2, 0.5, 0.5], [-10, -2, -0.5, -0.5]]),
    curve("N = 3", "coma", [[-10, -9, -8, -7], [-10, -9, -8, -7]]),
    curve("N = 4", "asae", [[-5, -6, -7, -8]]),
    curve("N = 4", "coma", [[-5, -6, -7, -3]]),
]


def test_statements_by_hand():
    assert figures.ranking(CURVES) == "N = 3: asae 0 > coma -7; N = 4: coma -3 > asae -8"
    assert figures.settled(CURVES) == "N = 3: after 2 iterations; N = 4: never above its start"
    assert figures.settled(CURVES, "iql") == "no iql among the runs"
    run_away = curve("N = 3", "asae", [[-4000, -300, -207, -200]])
    assert figures.settled([run_away]) == "N = 3: after 2 iterations"
    assert figures.steadiness(CURVES) == "N = 3: coma 0, asae 0.5; N = 4: asae 0, coma 0"
    assert figures.change(CURVES[:1]) == "N = 3, asae: -10 to 0"


def test_the_advantage_of_predators():
    chase = [
        curve("3 vs 3", "asae predators, coma preys", [[0.1, 0.75]]),
        curve("3 vs 3", "coma predators, asae preys", [[0.1, 0.5]]),
        curve("4 vs 4", "asae predators, coma preys", [[0.1, 0.2]]),
    ]
    assert figures.advantage(chase) == "3 vs 3: asae 0.75, coma 0.50 (+0.25)"

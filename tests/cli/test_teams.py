"""--team: who plays a team, on the toy environment of two teams, red (3 agents) and blue (2)."""

import shutil

import pytest
import torch

from comparing import content, differences, points
from components import checkpoint
from training.experiment import Experiment
from training.options import resolve

pytestmark = pytest.mark.usefixtures("toy_env")
TWO = "env_args.n_teams=2"
SMALL = ["hidden_dim=8", "test_nepisode=4", "test_interval=400", "runner_log_interval=200", "learner_log_interval=200"]
COMA = ["team.blue.hidden_dim=8", "team.blue.critic_hidden_dim=8"]
QMIX = ["team.blue.hidden_dim=8", "team.blue.batch_size=8", "team.blue.buffer_size=40", "team.blue.use_rnn=true",
        "team.blue.target_update_interval_or_tau=7", "team.blue.epsilon_anneal_time=300"]  # fmt: skip


@pytest.fixture
def played(cli):
    """played("--team", "blue=coma", "seed=1"): a tiny run of asae on toy; its results folder."""

    def run(*words, config="asae"):
        before = set(cli.runs())
        options = [word for k, word in enumerate(words) if word == "--team" or (k and words[k - 1] == "--team")]
        rest = [word for word in words if word not in options]
        outcome = cli(f"--config={config}", "--env-config=toy", *options, "with", TWO, *SMALL, *rest)
        assert (outcome.status, outcome.err) == (0, "")
        (folder,) = set(cli.runs()) - before
        return folder

    return run


def test_a_run_of_two_algorithms(cli, tools, played):
    folder = played("--team", "blue=qmix", "seed=1", "t_max=400", *QMIX, "team.blue.lr=1e-3", "keep_replay_buffer=true")
    assert folder == cli.results / "sacred" / "asae_blue-qmix" / "toy" / "1"
    assert tools.models(folder).name.startswith("asae_blue-qmix_seed1_toy_")
    config = tools.read(folder, "config")
    assert config["learner"] == "asae_learner"
    own = config["team"]["blue"]
    assert (own["plays"], own["learner"], own["mixer"], own["lr"]) == ("qmix", "q_learner", "qmix", 0.001)
    metrics = tools.read(folder, "metrics")
    for name in ("red_return_mean", "blue_return_mean", "test_red_return_mean", "test_blue_return_mean"):
        assert name in metrics
    assert {"red_critic_loss", "red_pg_loss", "blue_loss", "hits_mean", "ep_length_mean"} <= metrics.keys()
    assert not {"loss", "critic_loss", "red_loss", "blue_critic_loss"} & metrics.keys()
    files = {path.name for path in (tools.models(folder) / str(tools.steps(folder)[-1])).iterdir()}
    assert {"red_agent.th", "red_critic.th", "blue_agent.th", "blue_mixer.th", "replay.pt"} <= files
    assert tools.read(folder, "run")["result"] == metrics["test_red_return_mean"]["values"][-1]


@pytest.mark.parametrize("plays", ["random", "scripted:noop"])
def test_a_scripted_team_is_named_in_record_and_path_and_has_no_learners_metrics(cli, tools, played, plays):
    folder = played("--team", f"blue={plays}", "t_max=200")
    name = plays.removeprefix("scripted:")
    assert folder.parts[-3] == f"asae_blue-{name}"
    assert tools.read(folder, "config")["team"] == {"blue": {"plays": f"scripted:{name}"}}
    learners = {key for key in tools.read(folder, "metrics") if key.startswith("blue_")}
    assert learners == {"blue_return_mean", "blue_return_std"}
    assert not list(tools.models(folder).glob("*/blue_*"))
    header = (folder / "cout.txt").read_text()
    assert f"scripted:{name}, does not learn" in header


@pytest.mark.parametrize("mine", ["red", "blue"])
def test_a_transformer_plays_one_of_two_teams(tools, played, mine):
    """The one that acts as one; the other acts by itself."""
    if mine == "red":
        folder = played("--team", "blue=random", "t_max=100", config="mat")
    else:
        folder = played("--team", "blue=mat", "t_max=100", "team.blue.hidden_dim=8")
    assert {f"{mine}_pg_loss", f"{mine}_critic_loss", "red_return_mean"} <= tools.read(folder, "metrics").keys()
    files = {path.name for path in (tools.models(folder) / str(tools.steps(folder)[-1])).iterdir()}
    assert {f"{mine}_agent.th", f"{mine}_critic.th"} <= files


def test_several_teams_and_the_result_of_the_first_that_learns(tools, played):
    folder = played("--team", "red=random", "--team", "blue=coma", "t_max=200", *COMA, config="iql")
    assert folder.parts[-3] == "red-random_blue-coma"  # --config plays none of them
    metrics = tools.read(folder, "metrics")
    assert "blue_critic_loss" in metrics
    assert tools.read(folder, "run")["result"] == metrics["test_blue_return_mean"]["values"][-1]


@pytest.mark.parametrize(
    ("team", "folder"),
    [
        ("prey=coma", "asae_prey-coma"),
        ("preys=fleeing", "asae_prey-fleeing"),
        ("predators=greedy", "asae_predator-greedy"),
    ],
)
def test_predators_and_preys(cli, tools, team, folder):
    """The real game of two teams; singular and plural name the same team."""
    words = ["env_args.n_predators=3", "env_args.n_preys=2", "env_args.time_limit=10", "batch_size_run=4", "t_max=80"]
    outcome = cli("--config=asae", "--env-config=predator_prey", "--team", team, "with", *SMALL, *words)
    assert (outcome.status, outcome.err) == (0, "")
    (run,) = cli.runs()
    assert run.parts[-3] == folder
    metrics = tools.read(run, "metrics")
    assert {"test_capture_rate_mean", "test_predator_return_mean", "test_prey_return_mean"} <= metrics.keys()
    learnt = {key.partition("_")[0] for key in metrics if key.endswith("critic_loss")}
    assert learnt == {"prey=coma": {"predator", "prey"}, "preys=fleeing": {"predator"}}.get(team, {"prey"})


def test_print_config_shows_every_team_with_origins(cli):
    words = ["--config=asae", "--env-config=toy", "--team", "blue=coma", "--print-config", "with", TWO]
    outcome = cli(*words, "team.blue.lr=1e-4", "lr=0.5")
    assert outcome.status == 0
    assert "[team blue: coma]" in outcome.out
    rows = {line.split(" = ")[0].strip(): line for line in outcome.out.splitlines() if " = " in line}
    for key, value, origin in (
        ("lr", "0.5", "command line"),
        ("team.blue.plays", '"coma"', "command line"),
        ("team.blue.lr", "0.0001", "command line"),
        ("team.blue.q_nstep", "10", "algs/coma.yaml"),
        ("team.blue.td_lambda", "0.8", "built-in"),
    ):
        assert value in rows[key]
        assert origin in rows[key]
    assert "team.blue.eps_clip" not in rows
    flat = resolve("asae", "toy", [TWO, "team.blue.lr=1e-4"], ["blue=coma"]).flat()
    assert {f"team.blue.{key}" for key in flat["team"]["blue"]} == {key for key in rows if key.startswith("team.")}


# -- resume ----------------------------------------------------------------------------------------------------------

# nothing divides anything: the checkpoint falls between two writes of every log
RUN = ["seed=7", "save_model_interval=270", "learner_log_interval=150", "runner_log_interval=130", "test_interval=190"]
RUN += ["keep_replay_buffer=true"]
PAIRS = {
    "coma": ["--team", "blue=coma", *COMA],
    "qmix": ["--team", "blue=qmix", *QMIX],
    "own settings": ["team.blue.lr=0.01"],
    "random": ["--team", "blue=random"],
    "warm start": ["--team", "blue=qmix", *QMIX, "team.blue.warm_start=scripted:random",
                   "team.blue.warm_start_episodes=150", "warm_start=scripted:hinted", "warm_start_episodes=120"],
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_resume_with_two_teams_repeats_the_run_bit_for_bit(cli, tools, played, pair):
    words = [*PAIRS[pair], *RUN, "critic_hidden_dim=8", "test_sampled=true"]
    whole = played(*words, "t_max=750")
    first, *_, last = tools.steps(whole)
    assert first < last - 300
    half = played(*words, f"t_max={first}", "local_results_path=half")
    from_half = cli.resume(half, "t_max=750", "local_results_path=results")
    state = content(tools.models(whole) / str(last))
    assert differences(state, content(tools.models(from_half) / str(last))) == []
    assert {"red_agent.th", "red_critic.th", "state.pt"} <= state.keys()
    assert state["state.pt"]["teams"].keys() == {"red", "blue"}
    if pair in ("qmix", "warm start"):
        assert state["replay.pt"].keys() == {"blue"}
    wanted = points(whole, first)
    assert wanted == points(from_half, first)
    assert {"red_return_mean", "test_blue_return_mean", "red_critic_loss"} <= wanted.keys()
    assert from_half.parts[-3] == whole.parts[-3]
    before, after = (tools.read(run, "config")["team"] for run in (half, from_half))
    assert before == after


def test_a_run_against_a_frozen_policy_needs_its_checkpoint_no_more_once_it_runs(cli, tools, played):
    opponent = played("--team", "blue=coma", "t_max=200", "seed=3", *COMA)
    words = ["--team", f"blue=checkpoint:{opponent}", *RUN]
    whole, half = played(*words, "t_max=600"), played(*words, "t_max=300", "local_results_path=half")
    assert tools.read(whole, "config")["team"]["blue"]["plays"].startswith(f"checkpoint:{tools.models(opponent)}/")
    saved = checkpoint.read(tools.models(opponent) / str(tools.steps(opponent)[-1]), "blue_agent.th")
    shutil.rmtree(opponent)
    shutil.rmtree(tools.models(opponent) if opponent.exists() else cli.results / "models" / _token(cli))
    resumed = cli.resume(half, "t_max=600", "local_results_path=results")
    ends = [content(tools.models(run) / str(tools.steps(run)[-1])) for run in (whole, resumed)]
    assert differences(*ends) == []
    assert all(torch.equal(ends[0]["blue_agent.th"][key], value) for key, value in saved.items())


def _token(cli):
    (folder,) = (cli.results / "models").glob("asae_blue-coma_*")
    return folder.name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--team", "blue=iql"], ["coma plays blue, not iql"]),
        (["--team", "red=random"], ["team.red.plays=None", "team.red.plays='scripted:random'"]),
        (["with", "team.blue.lr=0.5"], ["team.blue.lr=0.0003", "team.blue.lr=0.5", "command line"]),
        (["with", "team.blue.lr_=0.5"], ["team.blue.lr_", "Did you mean 'lr'"]),
    ],
)
def test_what_would_not_be_the_same_run_is_refused(cli, played, words, expected):
    run = played("--team", "blue=coma", "t_max=200", *COMA)
    runs = cli.runs()
    rest = words[1:] if words[0] == "with" else []
    options = [] if words[0] == "with" else words
    outcome = cli(*options, "with", f"resume={run}", "t_max=300", *rest)
    assert outcome.status == 2
    assert [word for word in expected if word not in outcome.err] == []
    assert cli.runs() == runs
    assert cli("--team", "blue=coma", "with", f"resume={run}", "t_max=300").status == 0  # the same again is harmless


# -- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(played):
    return played("--team", "blue=coma", "seed=1", "t_max=600", "save_model_interval=200", *COMA)


def evaluate(cli, tools, *words):
    outcome = cli("--config=asae", "--env-config=toy", *words[0], "with", TWO, *SMALL, "evaluate=true", *words[1:])
    assert (outcome.status, outcome.err) == (0, "")
    runs = (path.parent for path in cli.folder.glob("results/evaluations/*/*/*/run.json"))
    return max(runs, key=lambda path: path.stat().st_mtime_ns)


def test_evaluate_loads_both_teams_at_a_step(cli, tools, trained, monkeypatch):
    seen = {}
    real = Experiment.test

    def test(self, sink):
        seen.update({name: team.controller.agents.state_dict() for name, team in self.teams.items()})
        return real(self, sink)

    monkeypatch.setattr(Experiment, "test", test)
    step = tools.steps(trained)[0]
    words = [f"checkpoint_path={trained}", f"load_step={step}", "save_replay=true", "replay_episodes=1"]
    folder = evaluate(cli, tools, ["--team", "blue=coma"], *words)
    for team in ("red", "blue"):
        saved = checkpoint.read(tools.models(trained) / str(step), f"{team}_agent.th")
        assert all(torch.equal(seen[team][key], value) for key, value in saved.items())
    metrics = tools.read(folder, "metrics")
    assert tools.read(folder, "config")["team"] == tools.read(trained, "config")["team"]  # not those of coma.yaml
    assert {tuple(column["steps"]) for column in metrics.values()} == {(step,)}
    assert list(folder.glob("*.gif"))


def test_a_trained_team_is_tested_against_other_opponents(cli, tools, trained):
    folder = evaluate(cli, tools, ["--team", "blue=hinted"], f"checkpoint_path={trained}")
    metrics = tools.read(folder, "metrics")
    assert folder.parts[-3] == "asae_blue-hinted"
    hits = metrics["test_ep_length_mean"]["values"][-1] * 2  # the hinted team of two always hits
    assert metrics["test_blue_return_mean"]["values"][-1] == pytest.approx(
        hits - metrics["test_hits_mean"]["values"][-1]
    )
    evaluate(cli, tools, ["--team", f"blue=checkpoint:{trained}"], f"checkpoint_path={trained}")


def test_fixed_players_can_be_measured_without_any_checkpoint(cli, tools):
    folder = evaluate(cli, tools, ["--team", "red=hinted", "--team", "blue=noop"])
    assert folder.parts[-3] == "red-hinted_blue-noop"
    assert tools.read(folder, "metrics")["test_red_return_mean"]["values"][-1] > 0


# -- mistakes --------------------------------------------------------------------------------------------------------

ASAE = ["--config=asae", "--env-config=toy"]
EIGHT = "warm_start_episodes=8"


def two(*teams):
    """The beginning of a command line with two teams."""
    return [*ASAE, *(word for team in teams for word in ("--team", team)), "with", TWO]


MISTAKES = {
    "unknown team": (two("bleu=coma"), ["no team 'bleu'", "Did you mean 'blue'", "red, blue"]),
    "one team": ([*ASAE, "--team", "blue=coma"], ["toy has no team 'blue'", "It has one, 'agents'"]),
    "team's key": ([*two(), "team.bleu.lr=1"], ["no team 'bleu'", "Did you mean 'blue'"]),
    "unknown player": (two("blue=comma"), ["'comma'", "Did you mean 'coma'", "random", "checkpoint:"]),
    "unknown script": (two("blue=scripted:randm"), ["'randm'", "Did you mean 'random'"]),
    "script of another game": (two("blue=fleeing"), ["'fleeing' cannot play the team 'blue' of toy"]),
    "no player": ([*ASAE, "--team", "blue", "with", TWO], ["--team blue", "--team <name>=<player>"]),
    "no name": ([*ASAE, "--team", "=coma", "with", TWO], ["--team =coma", "--team <name>=<player>"]),
    "twice": (two("blue=coma", "blue=iql"), ["Two players", "coma and iql"]),
    "unknown key": ([*two("blue=coma"), "team.blue.q_nstp=3"], ["team.blue.q_nstp", "Did you mean 'q_nstep'"]),
    "another's key": (
        [*two("blue=coma"), "team.blue.mixer=vdn"],
        ["team.blue.mixer", "q_learner", "this team does not use"],
    ),
    "run's key": ([*two(), "team.blue.t_max=3"], ["team.blue.t_max", "setting of the whole run"]),
    "value": ([*two("blue=coma"), "team.blue.lr=-3"], ["team.blue.lr=-3", "greater than 0"]),
    "script's key": ([*two("blue=random"), "team.blue.lr=3"], ["team.blue.lr", "has no settings"]),
    "half a key": ([*two(), "team.blue=coma"], ["team.blue=coma", "team.<name>.key=value"]),
    "no path": (two("blue=checkpoint:"), ["checkpoint:", "names no checkpoint"]),
    "no checkpoint": (two("blue=checkpoint:nowhere"), ["nowhere", "results/models"]),
    "nobody learns": (two("red=random", "blue=random"), ["No team learns", "evaluate=True"]),
    "an algorithm that cannot": (
        [*two("blue=qmix"), "env_args.individual_rewards=true", "common_reward=false"],
        ["common_reward=True"],
    ),
    "the other's algorithm that cannot": (
        [*two("blue=qmix")[1:], "--config=iql", "env_args.individual_rewards=true", "common_reward=false"],
        ["qmix cannot play the team 'blue'", "common_reward=True"],
    ),
    "too many actions": (
        [*two("blue=asae"), "team.blue.marginal=exact", "team.blue.exact_limit=3"],
        ["asae cannot play the team 'blue'", "exact_limit=3"],
    ),
    "no agents": ([*two(), "env_args.n_agents=1"], ["'blue' of toy has no agents"]),
    "zero agents": ([*two(), "env_args.n_agents=0"], ["env_args.n_agents=0", "greater than or equal to 1"]),
    "small buffer": ([*two("blue=qmix"), "team.blue.buffer_size=4"], ["buffer_size=4", "batch_size=32"]),
    "start without number": ([*ASAE, "with", "warm_start=scripted:random"], ["'scripted:random'", "belong together"]),
    "start without guide": ([*ASAE, "with", EIGHT], ["warm_start_episodes=8", "belong together"]),
    "start by an algorithm": ([*ASAE, "with", EIGHT, "warm_start=coma"], ["warm_start=coma", "scripted:<name>"]),
    "start by nobody": ([*ASAE, "with", EIGHT, "warm_start=scripted:hintd"], ["'hintd'", "Did you mean 'hinted'"]),
    "start by another game's": ([*ASAE, "with", EIGHT, "warm_start=scripted:greedy"], ["'greedy' cannot play"]),
    "start of nothing": ([*ASAE, "with", EIGHT, "warm_start=checkpoint:nowhere"], ["nowhere"]),
    "team as a key": ([*ASAE, "with", "team=3"], ["team=3", "team.<name>.key=value"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_message_and_nothing_left(cli, mistake):
    words, expected = MISTAKES[mistake]
    outcome = cli(*words)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert len(outcome.err.strip().splitlines()) == 1
    assert [word for word in expected if word not in outcome.err] == []
    assert cli.runs() == []


def test_checkpoints_of_other_teams(cli, trained):
    expected = {
        ("--team", f"blue=checkpoint:{trained}", "with", TWO, "env_args.n_agents=4"): [
            "blue_agent.th does not fit the team 'blue' of toy", "env_args.n_agents=3 there and 4 here"],
        ("with", TWO, f"checkpoint_path={trained}", "hidden_dim=8"): ["coma played blue", "--team blue=coma"],
        ("--team", "blue=iql", "with", TWO, f"checkpoint_path={trained}", "hidden_dim=8", "team.blue.hidden_dim=8"): [
            "checkpoint of coma", "iql cannot use"],
        ("with", f"warm_start=checkpoint:{trained}", "warm_start_episodes=9"): ["has no agents_agent.th"],
    }  # fmt: skip
    runs = cli.runs()
    for words, parts in expected.items():
        outcome = cli(*ASAE, *words)
        assert outcome.status == 2, words
        assert [part for part in parts if part not in outcome.err] == []
        assert len(outcome.err.splitlines()) == 1
    assert cli.runs() == runs


def test_scripts_of_battles_play_and_guide(cli, tools):
    """Good samples at the start of a battle map, which is what the paper gave its hardest ones."""
    battle = ["--config=asae", "--env-config=battle"]
    short = ["seed=1", "env_args.map_name=2m_vs_1z", "env_args.time_limit=30", "test_nepisode=2", "hidden_dim=8"]
    outcome = cli(*battle, "--team", "agents=attack_nearest", "with", *short, "evaluate=true")
    assert outcome.status == 0
    folder = cli.results / "evaluations" / "agents-attack_nearest" / "battle-2m_vs_1z" / "1"
    assert tools.read(folder, "metrics")["test_return_mean"]["values"][0] > 1
    guided = ["warm_start=scripted:focus_fire", "warm_start_episodes=4", "warm_start_epochs=2", "batch_size_run=4"]
    outcome = cli(*battle, "with", *short, *guided, "t_max=300", "learner_log_interval=1", "test_interval=300")
    assert outcome.status == 0
    (folder,) = set(cli.runs()) - {folder}
    metrics = tools.read(folder, "metrics")
    assert len(metrics["imitation_loss"]["values"]) == 1
    assert len(metrics["pg_loss"]["values"]) >= 1

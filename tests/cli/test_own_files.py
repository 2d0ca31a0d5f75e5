"""Settings files of one's own, and values that have to arrive as they were typed."""

from components import checkpoint
from envs.adapters.gymma_single import GymmaSingle
from training.options import resolve

MINE = "name: mine\nlearner: q_learner\nmixer: vdn\naction_selector: epsilon_greedy\nbatch_size: 4\nhidden_dim: 8\n"
LBF = "env_args.key=lbforaging:Foraging-5x5-2p-1f-v3"
KEEP = "keep_replay_buffer=true"


def test_an_algorithm_and_an_environment_outside_of_our_folder(cli, tools, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text(MINE)
    (tmp_path / "own" / "game.yaml").write_text("env: matrix_game\nenv_args: {game: qtran}\n")
    words = ["--config=own/mine.yaml", "--env-config=own/game.yaml", "with"]
    outcome = cli(*words, *tools.TINY, KEEP, "t_max=200", "seed=1")
    assert (outcome.status, outcome.err) == (0, "")
    (folder,) = cli.runs()
    assert folder.relative_to(cli.results).parts[:3] == ("sacred", "mine", "matrix_game-qtran")
    outcome = cli(*words, f"resume={folder}", "t_max=400")
    assert (outcome.status, outcome.err) == (0, "")
    outcome = cli(*words, "lr=x", "env_args.kk=1")
    assert "lr=x (from command line)" in outcome.err
    (tmp_path / "own" / "mine.yaml").write_text(f"{MINE}nonsense: 1\n")
    assert "'nonsense' (from --config=own/mine.yaml)" in cli(*words).err


def test_the_name_of_a_file_is_the_algorithms_where_it_gives_none(cli, tmp_path):
    (tmp_path / "other.yml").write_text(MINE.removeprefix("name: mine\n"))
    assert resolve("other.yml", "matrix_game", []).experiment.name == "other"


def test_a_team_plays_an_algorithm_of_ones_own(cli, tools, tmp_path):
    (tmp_path / "mine.yaml").write_text(MINE)
    chase = ["--config=iql", "--env-config=simple_tag", "--team", "prey=mine.yaml"]
    outcome = cli(*chase, "with", *tools.TINY, KEEP, "t_max=200", "batch_size=4", "seed=1")
    assert (outcome.status, outcome.err) == (0, "")
    (folder,) = cli.runs()
    assert folder.parts[-3] == "iql_prey-mine"
    assert tools.read(folder, "config")["team"]["prey"]["plays"] == "mine"
    assert cli(*chase, "with", f"resume={folder}", "t_max=400").status == 0


def test_text_arrives_as_it_was_typed(cli, tools):
    words = ["local_results_path=my results #2", "label=007", "t_max=100", "seed=010"]
    outcome = cli("--config=iql", "--env-config=matrix_game", "with", *tools.TINY, *words)
    assert (outcome.status, outcome.err) == (0, "")
    (folder,) = cli.runs()
    assert folder.is_relative_to(cli.folder / "my results #2")
    assert (tools.read(folder, "config")["label"], tools.read(folder, "config")["seed"]) == ("007", 10)


def test_a_layout_of_several_lines_reaches_its_constructor():
    layout = "\n.......\n...x...\n..x.x..\n.x...x.\n..x.x..\n...x...\n.g...g.\n"
    words = ["env_args.key=rware:rware-tiny-2ag-v2", f"env_args.layout={layout}"]
    arguments = resolve("iql", "gymma", words).env_args.model_extra
    assert arguments == {"layout": layout}
    single = GymmaSingle(key="rware:rware-tiny-2ag-v2", arguments=arguments, time_limit=10)
    try:
        assert single._env.unwrapped.grid_size == (7, 7)
    finally:
        single.close()


def test_a_tuple_stays_one_when_a_run_is_resumed(cli, tools):
    words = [LBF, KEEP, "env_args.field_size=(6, 6)", "env_args.n_workers=1", "seed=1", "t_max=60", "batch_size=8"]
    outcome = cli("--config=iql", "--env-config=gymma", "with", *tools.TINY, *words, "test_nepisode=0")
    assert (outcome.status, outcome.err) == (0, "")
    (folder,) = cli.runs()
    assert tools.read(folder, "config")["env_args"]["field_size"] == [6, 6]
    step = tools.models(folder) / str(tools.steps(folder)[-1])
    assert checkpoint.read_settings(step)["env_args"]["field_size"] == (6, 6)
    cli.resume(folder, "t_max=500")

"""Words of other codebases get the right word; EPyMARL's algorithm files mean here what they mean there."""

import re
from pathlib import Path

import pytest

import controllers
import envs
import learners
from core.errors import UserError
from core.foreign import advice, table, translated
from core.registry import load
from core.settings import config_names
from core.words import check_options, parse_overrides
from training.options import ExperimentSettings, resolve
from training.players import StartSettings

DOCS = Path(__file__).parents[2] / "docs"

ROWS = [
    ("algorithm", "iql_ns", "--config=iql with parameter_sharing=none"),
    ("algorithm", "mappo_ns", "--config=mappo_epymarl"),
    ("algorithm", "matd3", "matd3 is not there yet"),
    ("algorithm", "maddpg_ns", "Give --config=maddpg_epymarl with parameter_sharing=none"),
    ("algorithm", "ow_qmix", "--config=wqmix_ow"),
    ("algorithm", "wqmix", "--config=wqmix_cw, or wqmix_ow"),
    ("algorithm", "mfac", "--config=mf_ac"),
    ("algorithm", "mfq", "--config=mf_q"),
    ("algorithm", "seps", "parameter_sharing=seps"),
    ("setting", "use_seps", "parameter_sharing=seps"),
    ("setting", "pretrain_steps", "seps_steps"),
    ("algorithm", "qtran_ns", "--config=qtran with parameter_sharing=none"),
    ("algorithm", "pac_dcg_ns", "pac_dcg is not there yet"),
    ("algorithm", "offpg_smac", "--config=dop"),
    ("learner", "offpg_learner", "--config=dop"),
    ("setting", "off_batch_size", "Give batch_size;"),
    ("setting", "step", "tb_steps"),
    ("environment", "simple_spread", "--env-config=spread"),
    ("environment", "simple_adversary_v3", "env_args.key=mpe2.simple_adversary_v3"),
    ("environment", "lbforaging", "env_args.key=lbforaging:Foraging-8x8-2p-3f-v3"),
    ("environment", "rware", "rware:rware-tiny-2ag-v2"),
    ("environment", "smac", "--env-config=sc2"),
    ("environment", "smaclite", "env_args.key=smaclite:smaclite/2s3z-v0"),
    ("environment", "smacv2", "--env-config=sc2v2"),
    ("environment", "terran_10_vs_11", "--env-config=sc2v2 with env_args.map_name=terran_10_vs_11"),
    ("environment", "3s5z_vs_3s6z", "--env-config=battle with env_args.map_name=3s5z_vs_3s6z"),
    ("environment", "MMM2", "env_args.map_name=MMM2"),
    ("environment", "penalty", "--env-config=matrix_game with env_args.game=penalty"),
    ("env_args.key", "matrixgames:climbing-nostate-v0", "--env-config=matrix_game with env_args.game=climbing"),
    ("env_args.key", "matrixgames:penalty-25-nostate-v0", "env_args.game=penalty env_args.k=-25"),
    ("env_args.key", "pz-mpe-simple-spread-v3", "--env-config=pettingzoo with env_args.key=mpe2.simple_spread_v3"),
    ("env_args.key", "pz-mpe-simple-speaker-listener-v4", "env_args.key=mpe2.simple_speaker_listener_v4"),
    ("env_args.key", "pettingzoo.mpe.simple_tag_v3", "env_args.key=mpe2.simple_tag_v3"),
    ("env_args.key", "pz-sisl-pursuit-v4", "env_args.key=pettingzoo.sisl.pursuit_v4"),
    ("env_args.key", "simple_tag_v3", "env_args.key=mpe2.simple_tag_v3"),
    ("env_args.key", "vmas-balance", "--env-config=vmas with env_args.key=balance"),
    ("controller (mac)", "non_shared_mac", "parameter_sharing=none"),
    ("learner", "actor_critic_learner", "--config=ia2c"),
    ("option", "no_mongo", "Sacred"),
    ("env_args.", "pretrained_wrapper", "--team prey=fleeing"),
    ("env_args.", "seed", "seed=..."),
    ("env_args.", "state_last_action", "Leave it out"),
    ("option of plot.py", "path", "plot.py results"),
    ("setting", "use_cuda", "device=cuda"),
    ("setting", "use_mongo", "mongo_url"),
    ("setting", "wandb_entity", "wandb_team"),
    ("setting", "learning_rate", "Give lr."),
    ("setting", "standardise_returns", "standardise_rewards"),
    ("setting", "rnn_hidden_dim", "hidden_dim"),
    ("setting", "agent", "parameter_sharing=none"),
    ("setting", "map_name", "env_args.map_name"),
]


@pytest.mark.parametrize(("kind", "word", "expected"), ROWS)
def test_the_right_word(kind, word, expected):
    assert expected in advice(kind, word)


def test_words_that_are_not_foreign_get_none():
    assert advice("setting", "lr") == advice("algorithm", "qmxi") == advice("nothing", "x") == ""


def names_of_ours():
    yield from (("algorithm", name) for name in config_names("algs"))
    yield from (("environment", name) for name in (*config_names("envs"), *envs.REGISTRY))
    yield from (("learner", name) for name in learners.REGISTRY)
    yield from (("controller (mac)", name) for name in controllers.REGISTRY)


@pytest.mark.parametrize(("kind", "name"), list(names_of_ours()))
def test_nothing_of_ours_is_called_foreign(kind, name):
    assert advice(kind, name) == ""


def settings_of_ours():
    parts = [load(p.REGISTRY, name, "part").Settings for p in (controllers, learners) for name in p.REGISTRY]
    arguments = [load(envs.REGISTRY, name, "environment").Args for name in envs.REGISTRY]
    found = {key for model in (ExperimentSettings, StartSettings, *parts) for key in model.model_fields}
    return found | {f"env_args.{key}" for model in arguments for key in model.model_fields}


def test_the_words_that_are_advised_are_there():
    known, advised = settings_of_ours(), set()
    for texts in table().values():
        for text in texts.values():
            advised |= set(re.findall(r"(?<![-\w.<])((?:env_args\.)?[a-z_]+)(?==)", text))
            advised |= set(re.findall(r"[Gg]ive ((?:env_args\.)?[a-z_]+)(?=[. ,(;])", text))
            named = re.findall(r"--(config|env-config)=([a-z]\w*)(?!\w|{)", text)
            for option, name in named:
                assert name in config_names("algs" if option == "config" else "envs"), text
    assert len(advised) > 40
    assert sorted(advised - known - {"env_args", "prey"}) == []


# -- command lines ---------------------------------------------------------------------------------------------------

OPTIONS = ["--config", "--env-config", "--team", "--print-config"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seed=1"], ["with seed=1"]),
        (["--lr", "0.1"], ["--lr", "with lr=..."]),
        (["--env_args.key=a:b"], ["with env_args.key=a:b"]),
        (["--env-args.key=a"], ["with env_args.key=a"]),
        (["--confg=x"], ["Did you mean --config=x?"]),
        (["--env_config=spread"], ["Did you mean --env-config=spread?"]),
        (["--use-cuda"], ["device=cuda"]),
        (["--env=spread", "--alg=qmix"], ["--env-config=<environment>", "--config=<algorithm>"]),
        (["-F", "runs"], ["Sacred"]),
    ],
)
def test_options_that_are_not_known(words, expected):
    with pytest.raises(UserError) as error:
        check_options(words, OPTIONS)
    assert [word for word in expected if word not in str(error.value)] == []


def test_all_words_that_cannot_be_read_are_told():
    with pytest.raises(UserError) as error:
        parse_overrides(["lr", "=", "1", "gamma=", "0.9", "a.b=1", "team.x=1", "seed=1", "env_args=3", "t", "=5"])
    lines = str(error.value).splitlines()
    told = ["lr=1", "gamma=0.9", "a.b=1", "team.x=1", "env_args=3", "t=5"]
    assert [word in line for word, line in zip(told, lines, strict=True)] == [True] * 6


# -- EPyMARL's files -------------------------------------------------------------------------------------------------

COMMON = {"obs_last_action": False, "obs_individual_obs": False, "standardise_returns": False}
ON_POLICY = COMMON | {
    "action_selector": "soft_policies", "mask_before_softmax": True, "runner": "parallel", "buffer_size": 10,
    "batch_size_run": 10, "batch_size": 10, "agent_output_type": "pi_logits", "t_max": 20050000, "use_rnn": True,
    "obs_agent_id": True, "standardise_rewards": True,
}  # fmt: skip
A2C = ON_POLICY | {
    "target_update_interval_or_tau": 0.01, "lr": 5e-4, "hidden_dim": 128, "q_nstep": 5, "entropy_coef": 0.001,
}  # fmt: skip
PPO = A2C | {"lr": 3e-4, "learner": "ppo_learner", "epochs": 4, "eps_clip": 0.2}
COMA = ON_POLICY | {
    "target_update_interval_or_tau": 200, "lr": 3e-4, "hidden_dim": 64, "learner": "coma_learner", "q_nstep": 10,
    "critic_q_fn": "coma", "critic_baseline_fn": "coma", "critic_train_mode": "seq", "critic_train_reps": 1,
    "entropy_coef": 0.001, "critic_type": "coma_critic",
}  # fmt: skip
QMIX = COMMON | {
    "action_selector": "epsilon_greedy", "epsilon_start": 1.0, "epsilon_finish": 0.05, "epsilon_anneal_time": 50000,
    "evaluation_epsilon": 0.0, "runner": "parallel", "buffer_size": 5000, "target_update_interval_or_tau": 200,
    "obs_agent_id": True, "standardise_rewards": "scale", "agent_output_type": "q", "learner": "q_learner",
    "double_q": True, "use_rnn": False, "mixer": "qmix",
}  # fmt: skip
FILES = {
    "coma": COMA,
    "mappo_epymarl": PPO | {"critic_type": "cv_critic"},
    "ippo_epymarl": PPO | {"critic_type": "ac_critic"},
    "ia2c": A2C | {"learner": "actor_critic_learner", "critic_type": "ac_critic"},
    "maa2c": A2C | {"learner": "actor_critic_learner", "critic_type": "cv_critic", "entropy_coef": 0.01},
    "qmix": QMIX | {"mixing_embed_dim": 32, "hypernet_layers": 2, "hypernet_embed": 64},
    "vdn": QMIX | {"mixer": "vdn"},
    "iql": QMIX | {"mixer": None, "use_rnn": True, "epsilon_anneal_time": 200000, "lr": 3e-4},
}


def as_yaml(content):
    lines = [f"{key}: {'' if value is None else value}\n" for key, value in content.items()]
    return "".join(lines)


@pytest.mark.parametrize("name", FILES)
def test_epymarls_files_are_our_settings_of_the_same_name(tmp_path, name):
    file = tmp_path / "theirs.yaml"
    twice = "use_rnn: False\n" if name == "vdn" else ""  # in their file, too
    file.write_text(as_yaml(FILES[name] | {"name": name}) + twice)
    theirs = resolve(str(file), "matrix_game", [])
    assert theirs.player.flat() == resolve(name, "matrix_game", ["recommended=false"]).player.flat()
    assert theirs.experiment.name == name


@pytest.mark.parametrize("name", ["coma", "mappo_epymarl", "qmix"])
def test_networks_of_their_own(tmp_path, name):
    file = tmp_path / "theirs.yaml"
    critic = {"critic_type": f"{FILES[name]['critic_type']}_ns"} if "critic_type" in FILES[name] else {}
    file.write_text(as_yaml(FILES[name] | critic | {"mac": "non_shared_mac", "agent": "rnn_ns"}))
    theirs = resolve(str(file), "matrix_game", [])
    assert (
        theirs.player.flat()
        == resolve(name, "matrix_game", ["recommended=false", "parameter_sharing=none"]).player.flat()
    )
    assert theirs.experiment.name == "theirs"


def test_all_that_differs_is_told_in_one_list(tmp_path):
    file = tmp_path / "theirs.yaml"
    different = {"standardise_returns": True, "mask_before_softmax": False, "batch_size": 20}
    different |= {"critic_type": "coma_critic_ns", "agent_output_type": "q", "use_cuda": True, "agent": "rnn_ns"}
    file.write_text(as_yaml(COMA | different))
    with pytest.raises(UserError) as error:
        resolve(str(file), "matrix_game", ["lr=-1"])
    lines = str(error.value).splitlines()
    assert len(lines) == len(different) + 1
    told = {key: line for key in different for line in lines if f"'{key}'" in line}
    assert told.keys() == different.keys()
    assert "'buffer_size', 'batch_size'" in told["batch_size"]
    assert all(str(file) in line for line in told.values())
    assert "device=cuda" in told["use_cuda"]


def test_a_file_that_is_not_epymarls_is_left_alone():
    content = {"learner": "ppo_learner", "hidden_dim": 3, "mixer": None}
    assert translated(content) == content


@pytest.mark.parametrize("page", ["from_epymarl.md", "settings.md"])
def test_what_the_pages_advise_is_there(page):
    """Settings and names that stand in what is typed here; columns of EPyMARL's words aside."""
    lines = (DOCS / page).read_text().splitlines()
    ours = " ".join(line.split("|")[2] if line.startswith("|") and line.count("|") > 2 else line for line in lines)
    given = set(re.findall(r"(?<![-\w.<])((?:env_args\.)?[a-z_]+)(?==[\w\[\"-])", ours))
    assert len(given) > (8 if page == "from_epymarl.md" else 0)
    assert sorted(given - settings_of_ours() - {"prey", "key"}) == []
    for option, name in re.findall(r"--(config|env-config)=(\w+)(?![\w/])", ours):
        assert name in config_names("algs" if option == "config" else "envs")

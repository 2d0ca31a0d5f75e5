"""Every algorithm solves games without traps; a learner with a wrong sign does not come near."""

import pytest

from contract_helpers import Recorder
from training.experiment import Experiment
from training.options import resolve

COMMON = ["gamma=0.5", "hidden_dim=32", "save_model=false"]
OFF_POLICY = [
    "epsilon_anneal_time=2000",
    "lr=0.002",
    "target_update_interval_or_tau=20",
    "buffer_size=200",
    "use_rnn=false",
    "batch_size=16",
]
ON_POLICY = [
    "batch_size_run=8",
    "lr=0.005",
    "critic_lr=0.01",
    "critic_hidden_dim=32",
    "critic_updates=4",
    "returns=td_lambda",
    "td_lambda=0.5",
    "entropy_coef=0.02",
    "standardise_advantages=true",
    "target_update_interval_or_tau=0.1",
    "use_rnn=false",
]
SHARED_CRITIC = [word for word in ON_POLICY if not word.startswith(("lr", "critic_lr", "critic_hidden_dim"))]
LEARNERS = {
    "iql": OFF_POLICY,
    "vdn": OFF_POLICY,
    "qmix": OFF_POLICY,
    "mf_q": [*(word for word in OFF_POLICY if not word.startswith("epsilon")), "temperature_anneal_time=2000"],
    "mf_ac": ON_POLICY,
    "mf_ac advantage=returns": ON_POLICY,
    "coma": ON_POLICY,
    "coma_pymarl": [*ON_POLICY, "epsilon_anneal_time=2000", "critic_updates=1"],
    "dop": [*ON_POLICY, "epsilon_start=0.1", "epsilon_anneal_time=2000", "optimizer=adam", "normalise_weights=false"],
    "asae": ON_POLICY,
    "asae advantage=critic marginal=exact own_action=expected resync=true": ON_POLICY,
    "asae advantage=critic": ON_POLICY,
    "asae surrogate=clip target_kl=0.05": ON_POLICY,
    "ia2c": ON_POLICY,
    "maa2c": ON_POLICY,
    "ippo": [*ON_POLICY, "epochs=4"],
    "mappo": [*ON_POLICY, "epochs=4", "num_mini_batch=2"],
    "mappo_epymarl": ON_POLICY,
    "mat": [*SHARED_CRITIC, "epochs=4", "lr=0.0015"],
    "mat_dec": [*ON_POLICY, "epochs=4"],
    "happo": [*ON_POLICY, "epochs=4"],
    "hatrpo": [*ON_POLICY, "kl_threshold=0.005", "entropy_coef=0"],
}


def final_test(learner, env, words, *, seed, t_max):
    """Train and return the statistics of the last greedy test."""
    algorithm, *variant = learner.split()
    words = [*COMMON, *LEARNERS[learner], *variant, *words, f"seed={seed}", f"t_max={t_max}", f"test_interval={t_max}"]
    experiment, sink = Experiment(resolve(algorithm, env, words)), Recorder()
    try:
        experiment.run(sink, save=lambda: None)
    finally:
        experiment.close()
    return sink.tests[-1][2]


@pytest.mark.parametrize("learner", LEARNERS)
def test_penalty_game_without_penalty(learner):
    """25 rounds: 250 by one of two pairs of actions, 50 by a third pair, 0 by the six others.

    A network of their own each: two equal agents with a shared one stay long at the saddle between the two optima.
    """
    for seed in (1, 2):
        words = ["env_args.game=penalty", "env_args.k=0", "test_nepisode=1"]
        words += ["parameter_sharing=none"] if learner != "mat" else []
        stats = final_test(learner, "matrix_game", words, seed=seed, t_max=4000)
        assert stats.returns["agents"].mean() == 250


@pytest.mark.parametrize(
    ("learner", "game", "t_max", "reached"),
    [
        pytest.param("mappo", ["env_args.game=climbing"], 32_000, 175, marks=pytest.mark.slow),
        ("ia2c", ["env_args.game=penalty", "env_args.k=-25"], 8000, 50),
    ],
)
def test_policy_gradients_end_where_no_agent_gains_alone(learner, game, t_max, reached):
    """Of climbing 7 a round, not 11; of penalty 2, not 10: from uniform policies both steps towards the best cost."""
    words = [*game, "test_nepisode=1", "parameter_sharing=none"]
    assert final_test(learner, "matrix_game", words, seed=1, t_max=t_max).returns["agents"].mean() == reached


@pytest.mark.usefixtures("toy_env")
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_agent_follows_its_hint(learner):
    """Episodes of 1 to 5 steps, some truncated, with unavailable actions; chance is a third."""
    stats = final_test(learner, "toy", ["test_nepisode=30"], seed=1, t_max=2000)
    share = stats.info["hits"].sum() / (3 * stats.lengths.sum())
    assert share > 0.95

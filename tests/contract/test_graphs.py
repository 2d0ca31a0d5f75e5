"""Exported policies decide as the original does, step by step over whole episodes: every algorithm, both formats."""

import numpy as np
import pytest
import torch

import controllers
import learners
from components import portable
from controllers.graphs import INPUTS, OUTPUTS
from core.registry import load
from core.settings import config_names, config_path, read_yaml

ALGORITHMS = config_names("algs")


class Compared:
    """A controller beside which its exported networks decide; ``margins`` are how far from equal its choices were."""

    def __init__(self, controller, kind):
        self.controller, self.decisions = controller, 0
        self.graphs = controller.graphs()
        names = (INPUTS, OUTPUTS)
        self.files = [
            portable.Portable(portable.export(kind, graph, graph.example(), names=names, about={"k": k}), kind)
            for k, graph in enumerate(self.graphs)
        ]
        assert [file.about for file in self.files] == [{"k": k} for k in range(len(self.files))]

    def begin(self, n_envs):
        self.controller.begin(n_envs)
        self.last = np.full((n_envs, self.controller.spec.n_agents), -1)
        self.memory = [np.zeros((n_envs, len(g.agents), g.state_size), np.float32) for g in self.graphs]

    def restart(self, slots):
        self.controller.restart(slots)
        self.last[slots] = -1
        for memory in self.memory:
            memory[slots] = 0

    def played(self):
        return None

    def act(self, step, *, t_env, greedy_policy=False):
        chosen = self.controller.act(step, t_env=t_env, greedy_policy=greedy_policy)
        for k, (graph, file) in enumerate(zip(self.graphs, self.files, strict=True)):
            own = np.array(graph.agents)
            self.compare(file, own, step, chosen, k)
        self.last = chosen.copy()
        return chosen

    def compare(self, file, own, step, chosen, k):
        n_envs, size = len(chosen), self.memory[k].shape[-1]
        rows = [array[:, own].reshape(n_envs * len(own), -1) for array in (step.obs, step.available)]
        agent, last = np.tile(own, n_envs), self.last[:, own].flatten()
        state = self.memory[k].reshape(n_envs * len(own), size)
        inputs = [torch.from_numpy(np.ascontiguousarray(one)) for one in (*rows, agent, last, state)]
        action, logits, state = (each.numpy() for each in file(*inputs))
        values = np.where(rows[1], logits, -np.inf)
        best = np.sort(values, axis=-1)
        clear = (best[:, -1] - best[:, -2]) > 1e-5 * (1 + np.abs(best[:, -1]))
        wanted = chosen[:, own].flatten()
        np.testing.assert_array_equal(action[clear], wanted[clear])
        np.testing.assert_array_equal(action, values.argmax(-1))
        self.memory[k] = state.reshape(n_envs, len(own), size)
        self.decisions += int(clear.sum())


def compare(experiment, n_episodes=6):
    """Greedy test episodes in which exported files and controllers see the same; the number of decisions."""
    total = 0
    for kind in portable.SUFFIXES:
        both = {name: Compared(controller, kind) for name, controller in experiment.controllers.items()}
        stats = experiment.test_runner.play(both, n_episodes, t_env=None, greedy=True)
        assert stats.lengths.sum() >= n_episodes
        total += sum(one.decisions for one in both.values())
        assert all(one.decisions > 0 for one in both.values())
    return total


def variants(algorithm):
    """Recurrent and feed-forward, several networks and one, where an algorithm can have them."""
    settings = read_yaml(config_path("algs", algorithm))
    if load(controllers.REGISTRY, settings.get("mac", "basic_mac"), "controller").one_network:
        return [["obs_last_action=true"]]
    several = load(learners.REGISTRY, settings["learner"], "learner").several_networks
    apart = "parameter_sharing=none"
    return [
        ["use_rnn=true", "parameter_sharing=[0, 1, 0]"],
        ["use_rnn=false", apart if several else "obs_agent_id=true"],
    ]


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [pytest.param(name, words, id=f"{name} {' '.join(words)}") for name in ALGORITHMS for words in variants(name)],
)
def test_files_decide_as_the_original(make_experiment, algorithm, words):
    experiment = make_experiment(algorithm, "env_args.limit=5", "test_n_envs=3", *words)
    assert compare(experiment) > 20


@pytest.mark.parametrize(
    "words",
    [
        ["env_args.kind=image", "obs_last_action=true"],
        ["env_args.kind=bytes", "obs_agent_id=false"],
        ["env_args.heavy_mask=true", "obs_agent_id=false", "obs_last_action=true", "parameter_sharing=none"],
        ["env_args.n_teams=2"],
        ["env_args.n_agents=1"],
    ],
)
@pytest.mark.parametrize("algorithm", ["vdn", "mf_q"])
def test_every_kind_of_input(make_experiment, algorithm, words):
    assert compare(make_experiment(algorithm, "test_n_envs=2", *words)) > 10


@pytest.mark.parametrize(("kind", "dtype"), [("floats", torch.float32), ("bytes", torch.uint8), ("image", torch.uint8)])
def test_the_layout_says_what_a_network_reads(make_experiment, kind, dtype):
    experiment = make_experiment("vdn", f"env_args.kind={kind}", "obs_last_action=true", "use_rnn=true")
    controller = experiment.controllers["agents"]
    (graph,) = controller.graphs()
    assert graph.layout.parts == [("observation", 6), ("last_action", 4), ("agent", 3)]
    observation, _, agent, last, state = graph.example()
    assert (observation.dtype, last.tolist(), agent.tolist()) == (dtype, [-1] * 3, [0, 1, 2])
    assert state.shape == (3, controller.settings.hidden_dim)
    rows = graph.layout.rows(observation + 51, agent, torch.tensor([2, -1, 0]))
    assert rows[0].tolist() == pytest.approx([51 / (255 if kind == "image" else 1)] * 6 + [0, 0, 1, 0] + [1, 0, 0])
    assert rows[1, 6:].tolist() == [0, 0, 0, 0, 0, 1, 0]


def test_the_joint_form_needs_all_agents(make_experiment):
    """MAT's first agent sees the last one's observation; the second acts after the first."""
    (graph,) = make_experiment("mat").controllers["agents"].graphs()
    assert graph.joint
    inputs = list(graph.example())
    with torch.no_grad():
        before = graph(*inputs)[1]
        inputs[0] = inputs[0].clone()
        inputs[0][2, :3] = 5
        assert not torch.equal(graph(*inputs)[1][0], before[0])
        only = inputs[1].clone()
        only[0] = torch.tensor([False, False, False, True])
        inputs[1] = only
        action, logits, _ = graph(*inputs)
    assert action[0] == 3
    assert torch.isfinite(logits).all()

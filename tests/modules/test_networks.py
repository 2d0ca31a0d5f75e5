"""Networks against plain PyTorch built from the same weights."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from estimators.credit import joint_actions_of_partners
from modules.agents.rnn_agent import RNNAgent
from modules.critics.counterfactual_critic import CounterfactualCritic
from modules.gru import SequenceGRU
from modules.gru_kernels import sigmoid, tanh
from modules.mixers.mixers import IndependentMixer, QMixer, VDNMixer
from modules.sharing import Grouped, agent_groups

F64 = torch.float64


class TestGRU:
    @pytest.mark.parametrize("sizes", [[1], [4], [1] * 7, [5] * 9, [5, 5, 3, 1, 1], [6, 2], [4, 3, 2, 1]])
    @pytest.mark.parametrize("dtype", [torch.float32, F64])
    def test_values_and_all_gradients_equal_nn_gru(self, sizes, dtype):
        ours, reference = SequenceGRU(3, 4).to(dtype), nn.GRU(3, 4).to(dtype)
        reference.load_state_dict(ours.state_dict())
        x = torch.randn(sum(sizes), 3, dtype=dtype)
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        weight = torch.randn(sum(sizes), 4, dtype=dtype)
        packed = PackedSequence(inputs[1], torch.tensor(sizes))
        outs = [ours.sequence(inputs[0], sizes), reference(packed)[0].data]
        with torch.no_grad():
            torch.testing.assert_close(ours.sequence(x, sizes), outs[0], rtol=0, atol=0)
        for out in outs:
            (out**2 * weight).sum().backward()
        tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == F64 else {"rtol": 2e-5, "atol": 2e-5}
        torch.testing.assert_close(*outs, **tolerance)
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, **tolerance)
        for name, parameter in reference.named_parameters():
            torch.testing.assert_close(dict(ours.named_parameters())[name].grad, parameter.grad, **tolerance)

    @pytest.mark.parametrize(("sizes", "silent"), [([5] * 4, 1), ([5] * 4, 3), ([5, 5, 3, 1, 1], 2), ([3, 3], 2)])
    def test_last_steps_without_gradient(self, sizes, silent):
        """They are left out of the backward pass, which nobody may see."""
        ours, reference = SequenceGRU(3, 4), nn.GRU(3, 4)
        reference.load_state_dict(ours.state_dict())
        x, rows = torch.randn(sum(sizes), 3), sum(sizes[: len(sizes) - silent])
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        outs = [ours.sequence(inputs[0], sizes), reference(PackedSequence(inputs[1], torch.tensor(sizes)))[0].data]
        for out in outs:
            (out[:rows] ** 3).sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=2e-5, atol=2e-5)
        for name, parameter in reference.named_parameters():
            torch.testing.assert_close(dict(ours.named_parameters())[name].grad, parameter.grad, rtol=2e-5, atol=2e-5)

    def test_large_gates_saturate_without_nan(self):
        gru = SequenceGRU(3, 4)
        x = (torch.randn(10, 3) * 1e4).requires_grad_()
        out = gru.sequence(x, [2] * 5)
        out.sum().backward()
        torch.testing.assert_close(out, nn.GRU.forward(gru, x.view(5, 2, 3))[0].flatten(0, 1))
        assert torch.isfinite(x.grad).all()

    @pytest.mark.parametrize("grad", [True, False])
    def test_sequence_equals_repeated_steps(self, grad):
        gru, x = SequenceGRU(3, 4), torch.randn(6, 5, 3)
        with torch.set_grad_enabled(grad):
            out = gru.sequence(x.flatten(0, 1), [5] * 6).view(6, 5, 4)
            h = torch.zeros(5, 4)
            for t in range(6):
                h = gru.step(x[t], h)
                torch.testing.assert_close(out[t], h)

    def test_two_passes_before_one_backward(self):
        """Nothing of a pass may live in buffers that the next one overwrites."""
        gru = SequenceGRU(3, 4)
        x, y, sizes = torch.randn(9, 3), torch.randn(9, 3), [2, 2, 2, 2, 1]
        first, second = gru.sequence(x, sizes), gru.sequence(y, sizes)
        kept = first.detach().clone()
        (first.sum() * 2 + second.sum()).backward()
        assert torch.equal(first, kept)
        reference = nn.GRU(3, 4)
        reference.load_state_dict(gru.state_dict())
        outs = [reference(PackedSequence(one, torch.tensor(sizes)))[0].data.sum() for one in (x, y)]
        (outs[0] * 2 + outs[1]).backward()
        for ours, theirs in zip(gru.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=2e-5, atol=2e-5)

    def test_tanh_and_sigmoid_are_those_of_the_library_to_single_precision(self):
        x = np.concatenate([np.linspace(-12, 12, 100_001), [1e30, -1e30, 0.0]]).astype(np.float32)
        exact = x.astype(np.float64)
        assert max(abs(tanh(a) - b) for a, b in zip(x, np.tanh(exact), strict=True)) < 4e-7
        assert max(abs(sigmoid(a) - b) for a, b in zip(x, 1 / (1 + np.exp(-exact.clip(-99))), strict=True)) < 4e-7
        assert np.isnan(tanh(np.float32(np.nan)))

    def test_nan_is_not_hidden(self):
        gru, x = SequenceGRU(3, 4), torch.zeros(2, 3)
        x[0, 0] = torch.nan
        assert torch.isnan(gru.sequence(x, [1, 1])).all()

    def test_inputs_are_left_alone(self):
        gru, x = SequenceGRU(3, 4), torch.randn(9, 3)
        kept = x.clone()
        gru.sequence(x, [3, 3, 2, 1]).sum().backward()
        assert torch.equal(x, kept)


class TestRNNAgent:
    @pytest.mark.parametrize("use_rnn", [True, False])
    def test_whole_episodes_equal_a_loop_of_steps(self, use_rnn):
        net = RNNAgent(5, 3, hidden_dim=4, use_rnn=use_rnn)
        x = torch.randn(2, 6, 3, 5)  # [B, T, A, I]
        out = net(x)
        h = torch.zeros(6, 4)
        for t in range(6):
            values, h = net.step(x[:, t].reshape(6, 5), h)
            torch.testing.assert_close(out[:, t], values.view(2, 3, 3))

    def test_history_matters_with_a_gru_only(self):
        for use_rnn in (True, False):
            net = RNNAgent(5, 3, hidden_dim=4, use_rnn=use_rnn)
            x = torch.randn(1, 4, 1, 5)
            other = x.clone()
            other[:, 0] += 1
            same = torch.allclose(net(x)[:, -1], net(other)[:, -1])
            assert same != use_rnn

    def test_the_future_has_no_influence(self):
        net, x = RNNAgent(5, 3, hidden_dim=4, use_rnn=True), torch.randn(2, 6, 3, 5)
        other = x.clone()
        other[:, 4:] += 1
        torch.testing.assert_close(net(x)[:, :4], net(other)[:, :4])


def make_critic(agents=(0, 1, 2), n_agents=3, n_actions=4):
    return CounterfactualCritic(
        shared_dim=5, own_dim=2, n_agents=n_agents, n_actions=n_actions, hidden_dim=6, agents=list(agents)
    ).double()


class TestCritic:
    B, T, A, M, U = 2, 3, 3, 5, 4

    def inputs(self, agents=(0, 1, 2)):
        own = torch.randn(self.B, self.T, self.A, 2, dtype=F64)[:, :, list(agents)]
        shared = torch.randn(self.B, self.T, 5, dtype=F64)
        return own, shared, torch.randint(0, self.U, (self.B, self.T, self.M, self.A))

    def plain(self, critic):
        """An ordinary MLP on [shared, own, one-hot actions of all agents]."""
        first = nn.Linear(5 + 2 + self.A * self.U, 6).double()
        with torch.no_grad():
            first.weight.copy_(torch.cat([critic.shared.weight, critic.own.weight, critic.action.weight.T], 1))
            first.bias.copy_(critic.shared.bias)
        return nn.Sequential(first, nn.ReLU(), critic.fc2, nn.ReLU(), critic.fc3)

    @pytest.mark.parametrize("agents", [(0, 1, 2), (1,), (0, 2)])
    def test_equals_a_plain_network_on_the_concatenation(self, agents):
        critic = make_critic(agents)
        own, shared, joint = self.inputs(agents)
        out, mlp = critic(own, shared, joint), self.plain(critic)
        assert out.shape == (self.B, self.T, len(agents), self.M, self.U)
        for (k, agent), m in itertools.product(enumerate(agents), range(self.M)):
            one_hot = nn.functional.one_hot(joint[:, :, m], self.U).double()
            one_hot[:, :, agent] = 0  # an agent's own action is no input: the outputs are its own actions
            x = torch.cat([shared, own[:, :, k], one_hot.flatten(2)], -1)
            torch.testing.assert_close(out[:, :, k, m], mlp(x))

    def test_own_action_has_no_influence_and_others_have(self):
        torch.manual_seed(0)
        critic = make_critic()
        own, shared, joint = self.inputs()
        changed = joint.clone()
        changed[..., 1] = (changed[..., 1] + 1) % self.U
        before, after = critic(own, shared, joint), critic(own, shared, changed)
        torch.testing.assert_close(before[:, :, 1], after[:, :, 1])
        for agent in (0, 2):
            assert (before[:, :, agent] - after[:, :, agent]).abs().min() > 0

    @pytest.mark.parametrize("agents", [(0, 1, 2), (1,), (0, 2)])
    def test_enumeration_equals_forward_on_the_same_joint_actions(self, agents):
        critic = make_critic(agents)
        own, shared, _ = self.inputs(agents)
        partners = joint_actions_of_partners(self.A, self.U)
        out = critic.enumerate(own, shared, partners)
        for k, agent in enumerate(agents):
            joint = partners[agent].expand(self.B, self.T, -1, -1)
            torch.testing.assert_close(out[:, :, k], critic(own, shared, joint)[:, :, k])

    def test_all_parameters_learn(self):
        critic = make_critic()
        own, shared, _ = self.inputs()
        joint = torch.randint(0, self.U, (self.B, self.T, 50, self.A))
        (critic(own, shared, joint) ** 2).sum().backward()
        for name, parameter in critic.named_parameters():
            assert parameter.grad.abs().sum() > 0, name
        assert (critic.action.weight.grad.abs().sum(1) > 0).all()

    def test_joint_actions_of_another_team_are_refused(self):
        own, shared, joint = self.inputs()
        with pytest.raises(ValueError, match="joint_actions must be"):
            make_critic()(own, shared, joint[..., :2])


class TestMixers:
    def mixer(self, layers):
        return QMixer(4, 3, embed_dim=5, hypernet_layers=layers, hypernet_embed=6).double()

    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**31), layers=st.sampled_from([1, 2]), step=st.floats(0, 10))
    def test_monotone_in_every_agents_value(self, seed, layers, step):
        torch.manual_seed(seed)
        mixer = self.mixer(layers)
        q, state = torch.randn(2, 3, 3, dtype=F64) * 3, torch.randn(2, 3, 4, dtype=F64) * 3
        for agent in range(3):
            more = q.clone()
            more[..., agent] += step
            assert (mixer(more, state) >= mixer(q, state) - 1e-12).all()

    @pytest.mark.parametrize("layers", [1, 2])
    def test_gradient_by_the_values_is_positive(self, layers):
        q = torch.randn(2, 3, 3, dtype=F64, requires_grad=True)
        self.mixer(layers)(q, torch.randn(2, 3, 4, dtype=F64)).sum().backward()
        assert (q.grad > 0).all()

    @pytest.mark.parametrize("layers", [1, 2])
    def test_equals_a_slow_computation(self, layers):
        mixer = self.mixer(layers)
        q, state = torch.randn(2, 3, 3, dtype=F64), torch.randn(2, 3, 4, dtype=F64)
        out = mixer(q, state)
        assert out.shape == (2, 3, 1)
        sizes = mixer.first_sizes
        cuts = [0, *itertools.accumulate(sizes)]
        for b, t in itertools.product(range(2), range(3)):
            parts = [
                mixer.first.weight[lo:hi] @ state[b, t] + mixer.first.bias[lo:hi] for lo, hi in itertools.pairwise(cuts)
            ]
            w1, w2, value, bias = parts
            if layers == 2:
                w1 = mixer.weight_1.weight @ w1.clamp(min=0) + mixer.weight_1.bias
                w2 = mixer.weight_2.weight @ w2.clamp(min=0) + mixer.weight_2.bias
            hidden = [
                sum(q[b, t, a] * w1[a * 5 + e].abs() for a in range(3)) + bias[e] for e in range(5)
            ]  # fmt: skip
            hidden = [torch.where(h > 0, h, h.exp() - 1) for h in hidden]
            total = sum(h * w2[e].abs() for e, h in enumerate(hidden))
            expected = total + mixer.value.weight[0] @ value.clamp(min=0) + mixer.value.bias[0]
            torch.testing.assert_close(out[b, t, 0], expected)

    def test_the_state_alone_moves_the_total(self):
        """V(s) of the paper: with all values 0 the total still depends on the state."""
        mixer, q = self.mixer(2), torch.zeros(1, 1, 3, dtype=F64)
        states = torch.randn(2, 1, 1, 4, dtype=F64)
        assert (mixer(q, states[0]) - mixer(q, states[1])).abs() > 0

    def test_vdn_and_independent(self):
        q, state = torch.tensor([[[1.0, 2.0, -4.0]]]), torch.randn(1, 1, 4)
        assert VDNMixer()(q, state).tolist() == [[[-1.0]]]
        assert torch.equal(IndependentMixer()(q, state), q)


class Marker(nn.Module):
    """Multiplies by a weight of its own, so that the output tells which network served."""

    def __init__(self, agents):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(10.0 ** min(agents)))

    def forward(self, x, *rest):
        return x * self.weight

    def step(self, x, h):
        return x * self.weight, h + self.weight


SHARING = {"full": [1, 1, 1, 1], "none": [1, 10, 100, 1000], (7, 3, 7, 3): [1, 10, 1, 10], (0, 0, 1, 0): [1, 1, 100, 1]}


class TestGrouped:
    @pytest.mark.parametrize("sharing", SHARING)
    def test_routing_keeps_the_order_of_agents(self, sharing):
        expected = torch.tensor(SHARING[sharing], dtype=torch.float32)
        net = Grouped(Marker, agent_groups(sharing, 4))
        x = torch.arange(1.0, 2 * 3 * 4 * 2 + 1).view(2, 3, 4, 2)
        torch.testing.assert_close(net(x), x * expected.view(4, 1))
        out, h = net.step(x[:, 0], torch.zeros(2, 4, 2))
        torch.testing.assert_close(out, x[:, 0] * expected.view(4, 1))
        torch.testing.assert_close(h, expected.view(1, 4, 1).expand(2, 4, 2))

    @pytest.mark.parametrize("sharing", SHARING)
    @pytest.mark.parametrize("agent", range(4))
    def test_gradient_reaches_the_own_groups_network_only(self, sharing, agent):
        groups = agent_groups(sharing, 4)
        net = Grouped(lambda agents: RNNAgent(5, 3, hidden_dim=4, use_rnn=True), groups)
        net(torch.randn(2, 3, 4, 5))[:, :, agent].sum().backward()
        for agents, part in zip(groups, net.nets, strict=True):
            touched = any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
            assert touched == (agent in agents)

    @pytest.mark.parametrize("sharing", ["none", (0, 0, 1), (1, 0, 1)])
    def test_grouped_critics_equal_each_critic_on_its_own(self, sharing):
        groups = agent_groups(sharing, 3)
        net = Grouped(make_critic, groups)
        own, shared, joint = TestCritic().inputs()
        partners = joint_actions_of_partners(3, 4)
        out, enumerated = net(own, shared, joint), net.enumerate(own, shared, partners)
        for agents, critic in zip(groups, net.nets, strict=True):
            torch.testing.assert_close(out[:, :, agents], critic(own[:, :, agents], shared, joint))
            torch.testing.assert_close(enumerated[:, :, agents], critic.enumerate(own[:, :, agents], shared, partners))

    def test_groups(self):
        assert agent_groups("full", 3) == [[0, 1, 2]]
        assert agent_groups("none", 3) == [[0], [1], [2]]
        assert agent_groups((4, 1, 4), 3) == [[1], [0, 2]]
        assert agent_groups("types", 3, types=(0, 1, 0)) == [[0, 2], [1]]
        assert agent_groups("full", 3, types=(0, 1, 0)) == [[0, 1, 2]]

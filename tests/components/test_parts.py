"""Running norm, targets, optimiser, schedules."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

from components.optimizer import Optimizer, Optimizers
from components.running_norm import RunningNorm
from components.schedules import LinearSchedule
from components.target import Target


def test_running_norm_knows_the_least_and_the_greatest_real_value():
    norm = RunningNorm(1, centre=True)
    norm.update(torch.tensor([[[-1.0], [5.0], [90.0]]]), torch.tensor([[True, True, False]]))
    norm.update(torch.tensor([[[2.0], [3.0]]]), torch.tensor([[True, True]]))
    other = RunningNorm(1, centre=True)
    other.load_state_dict(norm.state_dict())
    assert [norm.low.item(), norm.high.item()] == [other.low.item(), other.high.item()] == [-1.0, 5.0]


class TestRunningNorm:
    def data(self, seed=0, size=2):
        rng = np.random.default_rng(seed)
        values = rng.normal([5.0, -300.0][:size], [2.0, 40.0][:size], (6, 4, 7, size)).astype(np.float32)
        mask = rng.random((6, 4, 7)) < 0.6
        return values, mask

    @pytest.mark.parametrize("centre", [True, False])
    def test_equals_numpy_on_everything_seen(self, centre):
        values, mask = self.data()
        norm = RunningNorm(2, centre=centre)
        for v, m in zip(values, mask, strict=True):
            norm.update(torch.from_numpy(np.where(m[..., None], v, 1e9)).float(), torch.from_numpy(m))
        seen = values[mask].astype(np.float64)
        got = norm(torch.from_numpy(values))
        expected = (values - (seen.mean(0) if centre else 0)) / seen.std(0)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        assert norm.count == mask.sum()

    def test_huge_offset_keeps_precision(self):
        norm = RunningNorm(1, centre=True)
        x = 1e6 + torch.arange(4.0).view(1, 4, 1)
        for _ in range(100):
            norm.update(x, torch.ones(1, 4, dtype=torch.bool))
        assert (norm.sum_squares / norm.count).sqrt().item() == pytest.approx(np.std([0, 1, 2, 3]), rel=1e-6)

    def test_nothing_seen_changes_nothing(self):
        norm, x = RunningNorm(1, centre=True), torch.randn(1, 3, 1)
        norm.update(x, torch.zeros(1, 3, dtype=torch.bool))
        assert torch.equal(norm(x), x)

    def test_constant_rewards_stay_finite(self):
        norm, x = RunningNorm(1, centre=True), torch.full((1, 3, 1), 7.0)
        norm.update(x, torch.ones(1, 3, dtype=torch.bool))
        assert (norm(x) == 0).all()

    def test_state(self):
        values, mask = self.data()
        norm, other = RunningNorm(2, centre=True), RunningNorm(2, centre=True)
        norm.update(torch.from_numpy(values[0]), torch.from_numpy(mask[0]))
        other.load_state_dict(norm.state_dict())
        norm.update(torch.from_numpy(values[1]), torch.from_numpy(mask[1]))
        other.update(torch.from_numpy(values[1]), torch.from_numpy(mask[1]))
        x = torch.from_numpy(values[2])
        assert torch.equal(norm(x), other(x))

    def test_values_on_another_device_than_the_statistics(self):
        """Statistics are gathered on the CPU, batches are trained on wherever the networks live."""
        values, mask = self.data()
        norm = RunningNorm(2, centre=True)
        norm.update(torch.from_numpy(values[0]), torch.from_numpy(mask[0]))
        assert norm(torch.empty(3, 4, 2, device="meta")).device.type == "meta"


def move(net, by=1.0):
    with torch.no_grad():
        for p in net.parameters():
            p.add_(by)


class TestTarget:
    def test_hard(self):
        net = nn.Linear(3, 2)
        target = Target(net, 3)
        start = copy.deepcopy(net.state_dict())
        for update in range(1, 8):
            move(net)
            target.update()
            behind = update % 3
            for key, value in start.items():
                torch.testing.assert_close(target.net.state_dict()[key], value + update - behind)

    @pytest.mark.parametrize("tau", [0.1, 0.01, 1.0])
    def test_soft(self, tau):
        net = nn.Linear(3, 2)
        target = Target(net, tau)
        expected = net.weight.detach().clone()
        for _ in range(5):
            move(net)
            target.update()
            expected = (1 - tau) * expected + tau * net.weight.detach()
        torch.testing.assert_close(target.net.weight, expected)

    def test_has_no_gradient_and_no_shared_memory(self):
        net = nn.Linear(3, 2)
        target = Target(net, 1.0)
        target.update()
        assert not any(p.requires_grad for p in target.net.parameters())
        move(net)
        assert not torch.equal(target.net.weight, net.weight)

    def test_state_keeps_the_counter(self):
        net = nn.Linear(3, 2)
        target = Target(net, 3)
        move(net)
        target.update()
        target.update()
        other = Target(net, 3)
        other.load_state_dict(target.state_dict())
        assert torch.equal(other.net.weight, target.net.weight)
        other.update()
        assert torch.equal(other.net.weight, net.weight)

    def test_nothing_to_follow(self):
        Target(nn.Identity(), 0.5).update()


class TestOptimizer:
    @pytest.mark.parametrize("kind", ["adam", "rmsprop"])
    def test_making_and_saving_one_needs_no_compiler(self, monkeypatch, kind):
        """torch would import torch._dynamo, 1.5 seconds of every run."""
        monkeypatch.setitem(sys.modules, "torch._dynamo", None)
        optimizer = Optimizer([nn.Parameter(torch.zeros(2))], kind=kind, lr=1.0, grad_norm_clip=1.0)
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.zero_grad()

    def test_a_step_of_adam_needs_no_compiler(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch._dynamo", None)
        x = nn.Parameter(torch.zeros(2))
        Optimizer([x], kind="adam", lr=1.0, grad_norm_clip=1.0).step((x - 1).square().sum())
        assert x[0].item() == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize("clip", [0.5, 1e9])
    def test_clips_the_whole_norm_and_tells_it_unclipped(self, clip):
        a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
        optimizer = Optimizer([a, b], kind="rmsprop", lr=1.0, grad_norm_clip=clip, alpha=0.0, eps=1e9)
        norm = optimizer.step((a * torch.tensor([3.0, 0.0])).sum() + 4 * b.sum())
        assert norm.item() == pytest.approx(5.0)
        scale = min(1.0, clip / 5)
        torch.testing.assert_close(a.grad, torch.tensor([3.0, 0.0]) * scale)
        torch.testing.assert_close(b.grad, torch.tensor([4.0]) * scale)
        assert b.item() < 0  # downhill

    @pytest.mark.parametrize("kind", ["adam", "rmsprop"])
    def test_gradients_do_not_pile_up_and_the_minimum_is_found(self, kind):
        x = nn.Parameter(torch.tensor([3.0]))
        optimizer = Optimizer([x], kind=kind, lr=0.05, grad_norm_clip=10.0)
        for _ in range(300):
            optimizer.step(((x - 1) ** 2).sum())
        assert x.item() == pytest.approx(1.0, abs=0.05)

    def test_adam_is_torchs(self):
        """With its clipping, from its state, and without what has no gradient."""
        ours, theirs = ([nn.Parameter(torch.ones(n)) for n in (2, 3, 4)] for _ in range(2))
        torchs = torch.optim.Adam(theirs, lr=0.1, eps=1e-5, fused=True)
        g = torch.Generator().manual_seed(0)

        def step(optimizer, k):
            slopes = [torch.randn(len(p), generator=g) for p in ours]
            losses = [sum((p * s).sum() for p, s in zip(ps[:k], slopes, strict=False)) for ps in (ours, theirs)]
            torchs.zero_grad()
            losses[1].backward()
            wanted = nn.utils.clip_grad_norm_(theirs, 1.0)
            torchs.step()
            torch.testing.assert_close(optimizer.step(losses[0]), wanted)
            for mine, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(mine, other)

        optimizer = Optimizer(ours, kind="adam", lr=0.1, grad_norm_clip=1.0, eps=1e-5)
        for k in (2, 2, 3, 1):
            step(optimizer, k)
        fresh = Optimizer(ours, kind="adam", lr=0.3, grad_norm_clip=1.0, eps=1e-5)
        fresh.load_state_dict(copy.deepcopy(torchs.state_dict()))
        for k in (3, 2):
            step(fresh, k)
        for key, state in torchs.state_dict()["state"].items():
            assert state.keys() == fresh.state_dict()["state"][key].keys()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_copy_goes_on_by_itself_in_either_precision(self, dtype):
        x = nn.Parameter(torch.ones(2, dtype=dtype))
        optimizer = Optimizer([x], kind="adam", lr=0.1, grad_norm_clip=1.0)
        optimizer.step((x**3).sum())
        other = copy.deepcopy(optimizer)
        optimizer.step((x**3).sum())
        (y,) = other.parameters
        assert not torch.equal(x, y)
        other.step((y**3).sum())
        assert torch.equal(x, y)
        torch.testing.assert_close(x.detach(), torch.full((2,), 0.8, dtype=dtype), atol=5e-3, rtol=0)

    def test_a_state_of_no_steps_is_loaded(self):
        x = nn.Parameter(torch.ones(2))
        optimizer = Optimizer([x], kind="adam", lr=0.1, grad_norm_clip=1.0)
        optimizer.step(x.sum())
        optimizer.load_state_dict(torch.optim.Adam([x], lr=0.1).state_dict())
        assert optimizer.state_dict()["state"][0]["step"] == 0
        optimizer.step(x.sum())
        assert optimizer.state_dict()["state"][0]["step"] == 1

    def test_a_loss_of_nothing_moves_nothing(self):
        x, apart = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
        optimizer = Optimizer([x], kind="adam", lr=0.1, grad_norm_clip=1.0)
        assert optimizer.step(apart.sum()) == 0
        assert torch.equal(x, torch.ones(2))

    def test_several_clip_and_keep_momentum_each_for_itself(self):
        g = torch.Generator().manual_seed(0)
        starts, slopes = torch.randn(2, 3, generator=g), torch.randn(4, 2, 3, generator=g)
        slopes[:, 1] *= 1e3
        together, apart = [[nn.Parameter(start.clone()) for start in starts] for _ in range(2)]
        make = [[Optimizer([x], kind="adam", lr=0.1, grad_norm_clip=1.0) for x in xs] for xs in (together, apart)]
        several = Optimizers(make[0])
        for slope in slopes:
            norm = several.step((together[0] * slope[0]).sum() + (together[1] * slope[1]).sum())
            norms = [make[1][k].step((apart[k] * slope[k]).sum()) for k in range(2)]
            assert norm.item() == pytest.approx(torch.stack(norms).norm().item())
        assert all(torch.equal(*pair) for pair in zip(together, apart, strict=True))

    @pytest.mark.parametrize("kind", ["adam", "rmsprop"])
    def test_state_is_exact(self, kind):
        nets = [nn.Linear(3, 2), nn.Linear(3, 2)]
        optimizers = [Optimizer(net.parameters(), kind=kind, lr=0.1, grad_norm_clip=1.0) for net in nets]
        x = torch.randn(5, 3)
        for _ in range(3):
            optimizers[0].step((nets[0](x) ** 2).sum())
        nets[1].load_state_dict(nets[0].state_dict())
        optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
        for _ in range(3):
            for net, optimizer in zip(nets, optimizers, strict=True):
                optimizer.step((net(x) ** 2).sum())
        assert torch.equal(nets[0].weight, nets[1].weight)


@pytest.mark.parametrize(
    ("t_env", "value"), [(0, 1.0), (250, 0.775), (500, 0.55), (1000, 0.1), (10**7, 0.1), (-5, 1.0)]
)
def test_linear_schedule(t_env, value):
    assert LinearSchedule(start=1.0, finish=0.1, steps=1000)(t_env) == pytest.approx(value)


def test_a_schedule_of_no_steps_is_finished():
    assert LinearSchedule(start=1.0, finish=0.1, steps=0)(0) == 0.1

"""Joint critics of the tests: what credit and the fit ask of a critic, from all of its Q-values."""

import torch
from torch import nn

from estimators.credit import marginal


class ForwardCritic(nn.Module):
    """Has ``forward(own, shared, joint) -> [B, T, A, M, U]``, as a leaf states it."""

    def taken(self, own, actions, shared, joint, packing=None):
        return self(own, shared, joint).squeeze(3).gather(-1, actions.unsqueeze(-1))

    def judge(self, own, pi, actions, shared, joint, packing=None):
        q = self(own, shared, joint)
        result = marginal(q, pi)
        every = torch.stack([result.advantage, result.standard_error, q[..., 0, :]], -1)
        index = actions.unsqueeze(-1).unsqueeze(-1).expand(*actions.shape, 1, 3)
        advantage, error, first = every.gather(3, index).squeeze(3).unbind(-1)
        return torch.stack([advantage, error, result.value, first], -1)

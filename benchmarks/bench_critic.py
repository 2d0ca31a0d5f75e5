"""What ASAE's critic gains by computing the first layer in parts.

The critic evaluates m x n counterfactual rows per step. Here its forward pass (the state's part once per step, an
agent's part once per agent, the partners' actions added per sample) is timed against the same network on explicitly
concatenated inputs, where the state is copied for every sample and agent. Both give the same Q-values (checked).

    python benchmarks/bench_critic.py [--state 54 --agents 3 --actions 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import torch
from torch import Tensor
from torch.nn import functional as F

from components.allocator import keep_freed_memory
from modules.critics.counterfactual_critic import CounterfactualCritic


def concatenated(critic: CounterfactualCritic, own: Tensor, shared: Tensor, joint: Tensor) -> Tensor:
    """The plain way: one row of all inputs per (step, agent, sample). Returns [B, T, A, M, U]."""
    n_agents, n_samples = own.shape[2], joint.shape[2]
    others = F.one_hot(joint, critic.n_actions).float().unsqueeze(2).repeat(1, 1, n_agents, 1, 1, 1)
    others[:, :, torch.arange(n_agents), :, torch.arange(n_agents)] = 0
    rows = torch.cat(
        [
            shared[:, :, None, None].expand(-1, -1, n_agents, n_samples, -1),
            own.unsqueeze(3).expand(-1, -1, -1, n_samples, -1),
            others.flatten(4),
        ],
        dim=-1,
    )
    weight = torch.cat([critic.shared.weight, critic.own.weight, critic.action.weight.t()], dim=1)
    hidden = F.relu(F.linear(rows, weight, critic.shared.bias))
    return critic.fc3(F.relu(critic.fc2(hidden)))


def median_ms(call: Callable[[], Tensor], repeats: int = 40) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times[5:])


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--state", type=int, default=54)
    cli.add_argument("--agents", type=int, default=3)
    cli.add_argument("--actions", type=int, default=5)
    cli.add_argument("--episodes", type=int, default=10)
    cli.add_argument("--steps", type=int, default=25)
    args = cli.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    n, u = args.agents, args.actions
    critic = CounterfactualCritic(
        shared_dim=args.state, own_dim=n, n_agents=n, n_actions=u, hidden_dim=64, agents=list(range(n))
    )
    own = torch.eye(n).expand(args.episodes, args.steps, n, n)
    shared = torch.randn(args.episodes, args.steps, args.state)
    print(f"state {args.state}, {n} agents, {u} actions, {args.episodes} x {args.steps} steps, hidden 64, one thread")
    print(f"{'m':>4}{'in parts':>12}{'concatenated':>16}{'ratio':>8}")
    with torch.no_grad():
        for m in (1, 10, 20):
            joint = torch.randint(u, (args.episodes, args.steps, m, n))
            torch.testing.assert_close(critic(own, shared, joint), concatenated(critic, own, shared, joint))
            parts = median_ms(lambda joint=joint: critic(own, shared, joint))
            plain = median_ms(lambda joint=joint: concatenated(critic, own, shared, joint))
            print(f"{m:>4}{parts:>9.2f} ms{plain:>13.2f} ms{plain / parts:>8.1f}")


if __name__ == "__main__":
    main()

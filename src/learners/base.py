"""What all learners share: settings, reward statistics, saving."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from components.optimizer import Optimizer, OptimizerName
from components.running_norm import RunningNorm
from components.target import Target
from core.data import EpisodeBatch, TeamSpec
from core.errors import UserError
from core.row_batch import RowBatch
from core.settings import Section
from estimators.returns import continues_from_mask


class LearnerSettings(Section):
    """What every learner reads."""

    learner: str = Field(description="Learner, a name in learners/__init__.py.")
    gamma: float = Field(0.99, ge=0, le=1, description="Discount factor.")
    bootstrap_time_limit: bool = Field(
        True, description="Value what would follow where a time limit cut an episode; false takes the cut for an end."
    )
    lr: float = Field(5e-4, gt=0, description="Learning rate (of the actor, where there is a critic too).")
    optimizer: OptimizerName = Field("adam", description="adam or rmsprop.")
    optim_alpha: float = Field(0.99, ge=0, lt=1, description="RMSprop's smoothing.")
    optim_eps: float = Field(1e-5, gt=0, description="Added to the optimiser's denominator.")
    grad_norm_clip: float = Field(10.0, gt=0, description="Largest gradient norm.")
    target_update_interval_or_tau: float = Field(
        200, gt=0, description="Above 1: copy the target network every so many updates; else move it by this fraction."
    )
    standardise_rewards: bool | Literal["scale"] = Field(
        True, description="Rewards by their running mean and deviation; scale divides by the deviation only."
    )


class BaseLearner:
    """Reward statistics and the state that a checkpoint needs.

    Args:
        spec: the team's sizes.
        settings: the learner's section.
        reward_dim: R of the batches: 1 for a team reward, A for individual rewards.
        device: where the networks live.

    Attributes:
        on_policy: whether it trains on the episodes that were just gathered; else it is a ``ReplayLearner``.
        rehearses: whether it trains on replayed episodes beside the new ones: ``train`` takes ``batch_size``
            of them as ``replayed`` once there are so many. Its settings are ``BufferSettings``.
        individual_rewards: whether it can learn from a reward for each agent.
        several_networks: whether it needs more than one network, so that ``parameter_sharing=full`` is refused.
        ensembles: whether it can learn several sub-policies for each agent.
        dependent: whether it can improve agents that decide one after another (a controller's ``one_network``); else
            it takes them for independent.
        Settings: what it reads.

    Raises:
        UserError: individual rewards, for a learner that cannot learn from them.
    """

    on_policy: bool
    rehearses = False
    individual_rewards = False
    several_networks = False
    ensembles = False
    dependent = False
    Settings: type[LearnerSettings] = LearnerSettings

    def __init__(
        self, spec: TeamSpec, settings: LearnerSettings, *, reward_dim: int, device: torch.device | str
    ) -> None:
        if reward_dim != 1 and not self.learns_individual_rewards(settings):
            raise UserError(
                f"{settings.learner} learns from one team reward: set common_reward=True, or use an "
                "algorithm for individual rewards, as iql, ia2c and ippo are."
            )
        self.spec = spec
        self.device = torch.device(device)
        self._base = settings
        centre = settings.standardise_rewards is True
        self.reward_norm = RunningNorm(reward_dim, centre=centre)
        self._limits: tuple[Tensor, Tensor] | None = None

    @classmethod
    def stated(cls, *names: str) -> str:
        """Which of these attributes was stated last: by the leaf, else above it; of equals the first."""
        return next(name for one in cls.__mro__ for name in names if name in vars(one))

    @classmethod
    def learns_individual_rewards(cls, settings: Any) -> bool:
        """Whether it can learn from a reward for each agent with these settings."""
        return cls.individual_rewards

    @classmethod
    def sees_rivals(cls, settings: Any) -> bool:
        """Whether its batches are to hold what other teams saw and did (``EpisodeBatch.rivals``).

        Then it is built with ``rivals=``, the sizes of these teams, and has a method ``meet``, which is told who plays
        them (:class:`learners.rivals.Rival`) before anything is learned.
        """
        return False

    @property
    def lagging_agents(self) -> Any:
        """Networks like those that act, which follow them slowly; None where there are none that others could use."""
        return None

    def check_batches(self, n_episodes: int) -> None:
        """Refuse to learn from batches of so many new episodes, where settings do not fit them.

        Raises:
            UserError: they do not.
        """

    def observe(self, batch: EpisodeBatch) -> None:
        """See newly gathered episodes once: the reward statistics."""
        self.reward_norm.update(batch.rewards, batch.mask)
        self._limits = None

    def rewards(self, batch: EpisodeBatch | RowBatch) -> Tensor:
        """Rewards as the learner uses them: [B, T, R] on its device."""
        rewards = self.reward_norm(batch.rewards) if self._base.standardise_rewards else batch.rewards
        return rewards.to(self.device)

    def value_range(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest value that rewards like those seen so far allow: two [R], on the device.

        sum_t gamma^t r_t lies between min(r, 0) / (1 - gamma) and max(r, 0) / (1 - gamma); 0 because episodes may end.
        Without limits while nothing was seen, and for gamma = 1.
        """
        if self._limits is None:  # they change only when episodes are seen
            self._limits = self._value_limits()
        return self._limits

    def _value_limits(self) -> tuple[Tensor, Tensor]:
        norm, gamma = self.reward_norm, self._base.gamma
        if gamma == 1 or norm.count == 0:
            limit = torch.full_like(norm.low, torch.inf).to(self.device)
            return -limit, limit
        extremes = torch.stack([norm.low, norm.high])
        low, high = (norm(extremes) if self._base.standardise_rewards else extremes) / (1 - gamma)
        return low.clamp(max=0).to(self.device), high.clamp(min=0).to(self.device)

    def discounts(self, batch: EpisodeBatch | RowBatch) -> Tensor:
        """gamma * (1 - terminated): [B, T, 1]. A cut episode keeps gamma, unless bootstrap_time_limit is false."""
        going_on = ~batch.terminated
        if not self._base.bootstrap_time_limit:
            last = batch.last
            going_on = going_on * (continues_from_mask(batch.mask) if last is None else ~last)  # type: ignore[arg-type]
        return (going_on * self._base.gamma).unsqueeze(-1)

    def make_optimizer(self, parameters: list[nn.Parameter], lr: float) -> Optimizer:
        """Build the optimiser that the settings ask for."""
        s = self._base
        return Optimizer(
            parameters, kind=s.optimizer, lr=lr, grad_norm_clip=s.grad_norm_clip, alpha=s.optim_alpha, eps=s.optim_eps
        )

    def not_finite(self) -> str:
        """Say which loss or gradient was not finite since the last call, "" where all were; waits for the device once.

        To be asked after every update: what follows from such an update is worth nothing.
        """
        steps = {name: optimizer.take_steps() for name, optimizer in self.optimizers().items()}
        numbers = [number for pairs in steps.values() for pair in pairs for number in pair]
        if not numbers or torch.stack(numbers).isfinite().all():
            return ""
        for name, pairs in steps.items():
            whose = "" if name == "opt" else f" of the {name.removesuffix('_opt')}"
            for loss, norm in pairs:
                for what, number in (("loss", loss), ("gradient's norm", norm)):
                    if not number.isfinite():
                        return f"the {what}{whose} became {float(number)}"
        raise AssertionError("a number that is not finite was found and lost")

    def networks(self) -> dict[str, nn.Module]:
        """File name (without .th) -> network, as EPyMARL's users know them."""
        raise NotImplementedError

    def optimizers(self) -> dict[str, Optimizer]:
        """Name -> optimiser."""
        raise NotImplementedError

    def targets(self) -> dict[str, Target[Any]]:
        """Name -> lagging network."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What an exact resume needs beside the networks: optimisers, targets, reward statistics."""
        return {
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers().items()},
            "targets": {name: target.state_dict() for name, target in self.targets().items()},
            "reward_norm": self.reward_norm.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for name, optimizer in self.optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, target in self.targets().items():
            target.load_state_dict(state["targets"][name])
        self.reward_norm.load_state_dict(state["reward_norm"])
        self._limits = None

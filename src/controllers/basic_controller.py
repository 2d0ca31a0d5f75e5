"""The controller of most algorithms: one recurrent or feed-forward network per group of agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from components.action_selectors import SELECTORS, ActionSelector, greedy, policy_log_probs
from components.schedules import LinearSchedule
from controllers.graphs import Graph, Layout
from controllers.policy import Policy
from controllers.reading import read_once
from core.data import EpisodeBatch, PolicyOutput, TeamSpec, TeamStep, one_hots, read_as
from core.kinds import UNIT, Kind
from core.row_batch import RowBatch
from core.settings import Section
from estimators.masked import masked_log_softmax
from modules.agents.rnn_agent import RNNAgent
from modules.agents.stepping import Stepping
from modules.sharing import Grouped, Sharing, agent_groups

EVERY = slice(None)


class ControllerSettings(Section):
    """What every controller reads."""

    mac: str = Field("basic_mac", description="Controller, a name in controllers/__init__.py.")
    hidden_dim: int = Field(64, ge=1, description="Width of the agents' networks.")
    use_rnn: bool = Field(True, description="A GRU in the agents' networks; false is feed-forward.")
    obs_agent_id: bool = Field(True, description="Give an agent its number (one-hot) as input.")
    obs_last_action: bool = Field(False, description="Give an agent its last action (one-hot) as input.")
    parameter_sharing: Sharing = Field(
        "full",
        description="full: one network; none: one per agent; types: one per type of unit (battle, sc2); seps: one per "
        "group that SePS finds; [0, 0, 1]: one per group.",
    )
    seps_groups: dict[str, tuple[int, ...]] = Field(
        {}, description="What seps has found, {team: group numbers}: written by a run for its checkpoints, never given."
    )
    action_selector: Literal["epsilon_greedy", "soft_policies"] = Field(
        "soft_policies", description="How actions are chosen from the network's output."
    )
    epsilon_start: float = Field(0.0, ge=0, le=1, description="Share of uniform exploration at the start.")
    epsilon_finish: float = Field(0.0, ge=0, le=1, description="... and after epsilon_anneal_time.")
    epsilon_anneal_time: int = Field(50_000, ge=0, description="Environment steps of linear annealing.")
    evaluation_epsilon: float = Field(0.0, ge=0, le=1, description="Uniform exploration in sampled tests.")

    def frozen(self) -> dict[str, float]:
        """What of them is otherwise where a policy that does not learn acts: in training as in sampled tests."""
        return {"epsilon_start": self.evaluation_epsilon, "epsilon_finish": self.evaluation_epsilon}

    def groups(self, team: TeamSpec) -> list[list[int]]:
        """Which agents of a team share a network (:func:`modules.sharing.agent_groups`); a run of one team has one."""
        found = self.seps_groups
        own = found.get(team.name, next(iter(found.values())) if len(found) == 1 else ())
        return agent_groups(self.parameter_sharing, team.n_agents, team.types, own)


class BasicController:
    """Acts for one team with shared, separate or grouped networks.

    Args:
        spec: the team's sizes.
        settings: see :class:`ControllerSettings`.
        generators: random streams "explore", "test_policy" and "learner".
        device: where the networks live.

    Attributes:
        one_network: whether all agents are in one network without memory, so that neither ``parameter_sharing`` nor
            ``use_rnn`` is free.
        n_policies: sub-policies of every agent.
        Settings: what it reads.
    """

    one_network = False
    n_policies = 1
    Settings: type[ControllerSettings] = ControllerSettings
    FORGOTTEN: ClassVar[frozenset[str]] = frozenset({"_inputs", "_obs_input", "_last_action", "_hidden", "_stepping"})

    def __init__(
        self,
        spec: TeamSpec,
        settings: ControllerSettings,
        *,
        generators: Mapping[str, torch.Generator],
        device: torch.device | str = "cpu",
    ) -> None:
        self.spec, self.settings, self.generators = spec, settings, generators
        self.device = torch.device(device)
        self.epsilon = LinearSchedule(
            start=settings.epsilon_start, finish=settings.epsilon_finish, steps=settings.epsilon_anneal_time
        )
        extra = spec.n_actions * settings.obs_last_action + spec.n_agents * settings.obs_agent_id
        self.input_dim = spec.obs_dim + extra + self.appended
        self.groups = settings.groups(spec)
        self._agent_id = one_hots(spec.n_agents, self.input_kind, self.device)
        self.agents = self.make_agents()
        self.begin(1)

    @property
    def appended(self) -> int:
        """Width of what a subclass gives the networks beside that, behind it."""
        return 0

    @property
    def input_kind(self) -> Kind:
        """Of :meth:`inputs`."""
        return self.spec.obs_kind

    def make_agents(self) -> Any:
        """Build the agents' networks: those who act, or others like them."""
        return self.make_networks()

    def make_networks(self) -> Grouped:
        """Build one network for every group of agents."""
        return Grouped(self._make_agent, self.groups).to(self.device)

    def _make_agent(self, agents: list[int]) -> nn.Module:
        spec, s, unit = self.spec, self.settings, UNIT[self.input_kind]
        return RNNAgent(self.input_dim, spec.n_actions, hidden_dim=s.hidden_dim, use_rnn=s.use_rnn, unit=unit)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: who acts, not what it remembers of the episodes here."""
        return {name: value for name, value in vars(self).items() if name not in self.FORGOTTEN}

    def begin(self, n_envs: int) -> None:
        """Prepare N slots; every slot starts an episode."""
        spec, settings = self.spec, self.settings
        self._inputs = torch.zeros(n_envs, spec.n_agents, self.input_dim, device=self.device)
        self._obs_input = self._inputs[..., : spec.obs_dim]
        self._last_action = self._inputs[..., spec.obs_dim : spec.obs_dim + spec.n_actions]
        if settings.obs_agent_id:
            end = self.input_dim - self.appended
            self._inputs[..., end - spec.n_agents : end] = torch.eye(spec.n_agents, device=self.device)
        self._hidden = torch.zeros(n_envs, spec.n_agents, settings.hidden_dim, device=self.device)
        self._stepping = Stepping.of(self.agents, self._inputs, self._hidden)

    @torch.inference_mode()
    def restart(self, slots: np.ndarray) -> None:
        """Forget the history of these slots."""
        index = torch.from_numpy(slots).to(self.device)
        self._hidden[index] = 0
        if self.settings.obs_last_action:
            self._last_action[index] = 0

    def act(self, step: TeamStep, *, t_env: int | None, greedy_policy: bool = False) -> np.ndarray:
        """Choose actions for all N slots.

        Args:
            step: observations [N, A, O] and available actions [N, A, U].
            t_env: environment steps so far, for the exploration schedule; None in a test.
            greedy_policy: the best action instead of a draw.

        Returns:
            int64 [N, A]
        """
        with torch.inference_mode():
            available = torch.from_numpy(step.available).to(self.device)
            self._see(step, available)
            actions = self._choose(available, self._rule(t_env, greedy_policy))
            self._remember(actions)
            return actions.cpu().numpy()

    def _see(self, step: TeamStep, available: Tensor) -> None:
        """Make the networks' inputs of what there is now; available bool [N, A, U]."""
        self._obs_input.copy_(torch.from_numpy(step.obs))
        if self.spec.obs_kind == "image":
            self._obs_input.div_(UNIT["image"])

    @torch.inference_mode()
    def took(self, actions: np.ndarray) -> None:
        """Say what was done, int64 [N, A], where that is not what :meth:`act` chose (an episode that is replayed)."""
        self._remember(torch.from_numpy(actions).to(self.device))

    def _remember(self, actions: Tensor) -> None:
        if self.settings.obs_last_action:
            self._last_action.zero_().scatter_(-1, actions.unsqueeze(-1), 1.0)

    def _rule(self, t_env: int | None, greedy_policy: bool) -> Callable[[Tensor, Tensor], Tensor]:
        """How actions are chosen from values and what is available."""
        if greedy_policy:
            return greedy
        epsilon = self.settings.evaluation_epsilon if t_env is None else self.epsilon(t_env)
        generator = self.generators["test_policy" if t_env is None else "explore"]
        return partial(self._selector(t_env), epsilon=epsilon, generator=generator)

    def _selector(self, t_env: int | None) -> ActionSelector:
        """How they are chosen where the best ones are not wanted."""
        return SELECTORS[self.settings.action_selector]

    def _choose(self, available: Tensor, select: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Actions int64 [N, A] from the present inputs; available bool [N, A, U]."""
        if self._stepping is not None:
            return select(self._stepping(), available)
        values, self._hidden = self.agents.step(self._inputs, self._hidden)
        return select(values, available)

    def played(self) -> np.ndarray | None:
        """The sub-policies of the present episodes, int64 [N, A]; None where every agent has one."""
        return None

    def inputs(self, batch: EpisodeBatch | RowBatch, *, group: int | None = None) -> Tensor:
        """The networks' inputs over whole episodes, of the observations' kind: [B, T+1, A, I], of rows [1, R, A, I].

        With a group ``batch`` is of its agents alone (``EpisodeBatch.of_agents``), and so is what is returned.
        """
        parts = self._parts(batch, group)
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    def _parts(self, batch: EpisodeBatch | RowBatch, group: int | None) -> list[Tensor]:
        spec, settings, kind = self.spec, self.settings, self.input_kind
        parts = [read_as(batch.obs, spec.obs_kind, kind)]
        if settings.obs_last_action:
            parts.append(batch.last_actions(kind))
        if settings.obs_agent_id:
            agent_id = self._agent_id if group is None else self._agent_id[self.groups[group]]
            parts.append(agent_id.expand(*batch.obs.shape[:2], -1, -1))
        return parts

    def values(self, agents: Any, inputs: Tensor, batch: EpisodeBatch, rows: slice = EVERY) -> Tensor:
        """What networks like the agents' say of some rows of a batch: [B, T', A, U].

        Args:
            agents: the networks, e.g. those that lag.
            inputs: [B, T+1, A, I], of :meth:`inputs`.
            batch: whose they are.
            rows: all, all but the last, or, where networks have no memory, all but the first.
        """
        packing = batch.packing if rows == EVERY else batch.step_packing
        return agents(inputs if rows == EVERY else inputs[:, rows], packing=packing)

    def forward(self, batch: EpisodeBatch) -> PolicyOutput:
        """Run the networks over whole episodes."""
        return PolicyOutput(values=self.values(self.agents, read_once(self, batch, batch.packing), batch))

    def log_policy(self, batch: EpisodeBatch, *, t_env: int, group: int | None = None) -> Tensor:
        """Log-probabilities of the policy that acts at ``t_env``: [B, T+1, A, U].

        With a group those of its agents, who alone are in ``batch``: [B, T+1, A', U].
        """
        return self.policy_of(self._values_of(group, batch), batch.available, t_env)

    def _values_of(self, group: int | None, batch: EpisodeBatch) -> Tensor:
        """Values of which policies are made: those of a single action do not matter."""
        if group is not None:
            return self.agents.of_group(group, self.inputs(batch, group=group), packing=batch.packing)
        packing = batch.deciding if getattr(self.agents, "each_alone", False) else batch.packing
        if packing is batch.packing:
            return self.forward(batch).values
        return self.agents(read_once(self, batch, packing), packing=packing)

    def acting_policy(self, batch: EpisodeBatch, *, t_env: int, values: Tensor | None = None) -> Tensor:
        """As :meth:`log_policy`, for others than its learner: also of a controller that acts by the best values."""
        values = self.forward(batch).values if values is None else values
        if self.settings.action_selector != "epsilon_greedy":
            return self.policy_of(values, batch.available, t_env)
        best = torch.zeros_like(batch.available).scatter_(-1, greedy(values, batch.available).unsqueeze(-1), True)
        return policy_log_probs(masked_log_softmax(values, best), batch.available, self.epsilon(t_env))

    def known_policy(self, batch: EpisodeBatch, *, t_env: int) -> Tensor:
        """As :meth:`acting_policy`, as others may know it: which sub-policies were drawn is not among that."""
        return self.acting_policy(batch, t_env=t_env)

    def decide(self, batch: EpisodeBatch, *, t_env: int, group: int | None = None) -> Policy:
        """As :meth:`log_policy`, at the decisions that were made."""
        return Policy.at(self.logits_of(self._values_of(group, batch), t_env), batch, epsilon=self.epsilon(t_env))

    def policy_of(self, values: Tensor, available: Tensor, t_env: int) -> Tensor:
        """Log-probabilities [..., U] of draws by these values, and what is available, at ``t_env``."""
        return policy_log_probs(self.logits_of(values, t_env), available, self.epsilon(t_env))

    def logits_of(self, values: Tensor, t_env: int) -> Tensor:
        """Logits of draws by the networks' values at ``t_env``, before exploration."""
        return values

    def graphs(self) -> list[Graph]:
        """The networks for other programs, one after another; they share their weights with these."""
        layout = self._layout()
        nets = zip(self.agents.nets, self.groups, strict=True)
        memory = self.settings.hidden_dim if self.agents.recurrent else 0
        return [Graph(net, agents, layout, state_size=memory) for net, agents in nets]

    def _layout(self) -> Layout:
        return Layout(spec=self.spec, last_action=self.settings.obs_last_action, agent_id=self.settings.obs_agent_id)

    def state_dict(self) -> dict[str, Any]:
        """Random streams (the networks are saved by the learner that trains them)."""
        return {name: generator.get_state() for name, generator in self.generators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for name, generator in self.generators.items():
            generator.set_state(state[name])

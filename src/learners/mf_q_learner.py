"""Mean field Q-learning (Yang et al. 2018, arXiv 1802.05438)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from controllers.mean_field_controller import MeanFieldController
from core.data import TeamSpec
from core.errors import UserError
from core.row_batch import RowBatch
from learners.base import LearnerSettings
from learners.q_learner import QLearner, Seen
from learners.replayed import ReplaySettings
from modules.mixers.mixers import IndependentMixer


class MFQSettings(ReplaySettings):
    """What mean field Q-learning reads: what IQL does, but for double Q-learning."""


class MFQLearner(QLearner):
    """Q_i(o, u_i, abar_i), abar_i the mean of the neighbours' last actions, without a mixer.

    Minimises (r + d v'(o') - Q_i(o, u_i, abar_i))^2, v'(o') = sum over u of pi'(u | o', abar') Q_i'(o', u, abar')
    (eq. 10), pi' the policy that acts, of the lagging networks' values.

    Args:
        spec, settings, others: see :class:`QLearner`.
        controller: whose networks read the mean action.

    Raises:
        UserError: another controller.
    """

    Settings: type[LearnerSettings] = MFQSettings
    settings: MFQSettings
    controller: MeanFieldController

    def __init__(self, spec: TeamSpec, settings: MFQSettings, controller: MeanFieldController, **others: Any) -> None:
        if not isinstance(controller, MeanFieldController):
            raise UserError("learner=mf_q_learner needs mac=mean_field_mac, whose networks read the mean action.")
        super().__init__(spec, settings, controller, **others)

    @classmethod
    def learns_individual_rewards(cls, settings: Any) -> bool:
        """Every agent learns for itself."""
        return True

    def make_mixer(self) -> nn.Module:
        """Build none."""
        return IndependentMixer()

    def bootstrap(self, batch: RowBatch, seen: Seen) -> Tensor:
        """What the acting policy expects of the following rows: [1, P, A]."""
        q = seen.lagging()
        log_pi = self.controller.policy_of(q, batch.ahead(batch.available), seen.t_env)
        return (log_pi.exp() * q).sum(-1)

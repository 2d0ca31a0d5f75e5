"""ASAE's controller: it also draws the joint action samples of the marginal advantage."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from components.draws import sample_joint
from controllers.basic_controller import BasicController, ControllerSettings


class ASAEControllerSettings(ControllerSettings):
    """The number of samples, beside what every controller reads."""

    n_samples: int = Field(10, ge=1, description="m, joint action samples per state (arXiv 2012.03488, eq. 10).")


class ASAEController(BasicController):
    """A team of stochastic policies that can be asked what the others might have done."""

    Settings = ASAEControllerSettings
    settings: ASAEControllerSettings

    def sample_joint(self, log_pi: Tensor, *, executed: Tensor | None, real: Tensor | None = None) -> Tensor:
        """Draw m joint actions per state from independent policies (Figure 2 of the paper).

        Args:
            log_pi: [B, T, A, U].
            executed: int64 [B, T, A], sample 1; None draws all m.
            real: bool [B, T], rows whose draws are wanted; None: all.

        Returns:
            int64 [B, T, M, A]
        """
        generator, m = self.generators["learner"], self.settings.n_samples
        return sample_joint(log_pi, n_samples=m, generator=generator, executed=executed, real=real)

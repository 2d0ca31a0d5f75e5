"""When the numbers of training are no numbers any more: said at once, and never saved."""

from __future__ import annotations

from typing import Any

from components.replay import Replay
from core.data import EpisodeBatch
from core.errors import UserError


class Diverged(UserError):
    """Training has come to nan or an infinity; the text says whose, what, when and why."""


def check_updates(team: str, learner: Any, batch: EpisodeBatch, replay: Replay | None, *, t_env: int) -> None:
    """Check the losses and gradients of the updates since the last check; waits for the device once.

    Args:
        team: its name.
        learner: its learner.
        batch: the newest episodes, to tell whose fault it is.
        replay: what else it may have learned from.
        t_env: environment steps so far.

    Raises:
        Diverged: one is not finite.
    """
    if what := learner.not_finite():
        cause = _inputs(batch, replay) or _too_large(learner)
        raise Diverged(f"Training has failed at step {t_env:,}: of the team '{team}', {what}. {cause}")


def check_networks(team: str, learner: Any, *, t_env: int) -> None:
    """Check what is about to be saved.

    Raises:
        Diverged: a weight, or a statistic of the rewards, is not finite (or a weight as large as 1e19).
    """
    for name, network in learner.networks().items():
        for key, value in network.state_dict().items():
            if not value.float().square().sum().isfinite():  # nor is a weight of use whose square is no float32
                raise Diverged(
                    f"Training has failed at step {t_env:,}: of the team '{team}', weights of {name}.th ({key}) are "
                    f"not finite, or larger than anything. {_too_large(learner)}"
                )
    norm = learner.reward_norm
    if not (norm.mean.isfinite().all() and norm.sum_squares.isfinite().all()):
        raise Diverged(
            f"Training has failed at step {t_env:,}: of the team '{team}', rewards were not finite. The environment "
            "has to be mended."
        )


def _inputs(batch: EpisodeBatch, replay: Replay | None) -> str:
    seen = (batch, *batch.rivals)
    wrong = [key for key in ("obs", "state", "rewards") if not all(getattr(x, key).isfinite().all() for x in seen)]
    if replay is not None and not wrong:
        wrong = replay.not_finite()
    words = {"obs": "observations", "state": "states", "rewards": "rewards"}
    if not wrong:
        return ""
    named = " and ".join(words[key] for key in wrong)
    return f"The environment gave {named} that are not finite: it has to be mended."


def _too_large(learner: Any) -> str:
    settings, norm = learner.settings, learner.reward_norm
    rewards = ""
    if norm.count:
        rewards = f", rewards between {float(norm.low.min()):g} and {float(norm.high.max()):g}"
    rates = {key: getattr(settings, key, None) for key in ("lr", "critic_lr", "inference_lr")}
    given = ", ".join(f"{key}={rate:g}" for key, rate in rates.items() if rate is not None)
    *others, last = (key for key, rate in rates.items() if rate is not None)
    lower = " and ".join(filter(None, (", ".join(others), last)))
    return (
        f"Observations and rewards were finite, so updates were too large ({given}, "
        f"grad_norm_clip={settings.grad_norm_clip:g}{rewards}): lower {lower}, or scale the rewards."
    )

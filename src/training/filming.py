"""Films of greedy episodes, and the recordings of environments that write their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.film import write_film
from training.experiment import Experiment


def film(experiment: Experiment, path: Path) -> Path:
    """Play greedy episodes in an environment of their own and write them as one film; returns the path.

    An environment that cannot draw writes a recording in its own format, into the folder of ``path``.

    Raises:
        OSError: it cannot be written.
    """
    runner = experiment.make_runner(1, "render")
    frames: list[np.ndarray] = []
    drawn = experiment.spec.can_render
    try:
        runner.play(
            experiment.controllers,
            experiment.settings.replay_episodes,
            t_env=None,
            greedy=True,
            on_step=(lambda active: frames.append(runner.env.render(0))) if drawn else None,
        )
        if not drawn:
            return runner.env.save_replay(0, path.parent)
    finally:
        runner.env.close()
    return write_film(frames, path)

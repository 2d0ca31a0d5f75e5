"""Films of greedy episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.film import write_film
from experiment import Experiment


def film(experiment: Experiment, path: Path) -> Path:
    """Play greedy episodes in an environment of their own and write them as one film; returns the path.

    Raises:
        OSError: it cannot be written.
    """
    runner = experiment.make_runner(1, "render")
    frames: list[np.ndarray] = []
    try:
        runner.collect(
            experiment.controllers,
            experiment.settings.replay_episodes,
            t_env=None,
            greedy=True,
            on_step=lambda active: frames.append(runner.env.render(0)),
        )
    finally:
        runner.env.close()
    return write_film(frames, path)

"""What tests of whole experiments share."""

import contextlib

import numpy as np
import torch


class Recorder:
    """A sink that remembers."""

    def __init__(self):
        self.learner_metrics, self.stats, self.tests = [], [], []

    def learner(self, metrics, t_env, *, team=None):
        if metrics:
            self.learner_metrics.append((t_env, team, {k: float(v) for k, v in metrics.items()}))

    def episodes(self, stats, t_env, *, prefix=""):
        (self.tests if prefix else self.stats).append((t_env, prefix, stats))

    def testing(self):
        return contextlib.nullcontext()

    def progress(self, t_env):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def iterate(experiment, n=3):
    """So many iterations; returns what was told of them."""
    sink = Recorder()
    for _ in range(n):
        experiment.iterate(sink)
    return sink


def assert_equal(first, second, path=""):
    """Nested dictionaries, lists and tensors, bit for bit."""
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_equal(first[key], second[key], f"{path}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for k, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_equal(a, b, f"{path}/{k}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, second, err_msg=path)
    else:
        assert first == second, path

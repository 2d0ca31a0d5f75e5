"""Which settings two runs differ in, and which of them matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import as_json

FREE = {  # they change how long, where and how a run is recorded, not what it computes
    "t_max", "quiet", "label", "use_tensorboard", "local_results_path", "save_model", "save_model_interval",
    "log_interval", "render", "save_replay", "replay_format", "replay_episodes", "torch_threads", "device",
    "keep_replay_buffer", "mongo_url", "mongo_db", "ray_address", "ray_workers",
    "use_wandb", "wandb_mode", "wandb_project", "wandb_team", "wandb_save_model",
    "env_args.info_keys", "env_args.info_limit",
}  # fmt: skip
MEASURING = {  # how often and how well a run is measured: tests have environments and random streams of their own
    "test_interval", "test_nepisode", "test_n_envs", "test_sampled", "runner_log_interval", "learner_log_interval",
}  # fmt: skip
ELSEWHERE = {  # EPyMARL's, in runs of its own
    "use_cuda", "buffer_cpu_only", "hypergroup", "env_args.seed", "env_args.debug",
}  # fmt: skip
PLACES = {  # of an environment: where it runs, what it shows
    "env_args.n_workers", "env_args.worker_timeout", "env_args.render_mode", "env_args.replay_dir",
    "env_args.replay_prefix", "env_args.window_size_x", "env_args.window_size_y",
}  # fmt: skip
TOLD = {"recommended"}  # they say where others come from, which are compared themselves
SAME_LINE = FREE | MEASURING | PLACES | ELSEWHERE | TOLD | {
    "name", "env", "seed", "evaluate", "resume", "save_replay_buffer",
}  # fmt: skip
"""What runs may differ in and still be seeds of one curve (name and env have their own place in a picture)."""
FOUND = "seps_groups"
"""What a run has found out, and nobody has asked for: it is not compared."""


def different(saved: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that are not the same: key (``env_args.x``) -> (saved, now), None where absent."""
    saved, now = flattened(saved), flattened(now)
    keys = dict.fromkeys([*saved, *now])
    return {key: (saved.get(key), now.get(key)) for key in keys if saved.get(key) != now.get(key)}


def flattened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as Sacred records them, with dotted keys (``env_args.x``, ``team.prey.lr``), without :data:`FOUND`."""
    plain = as_json(settings)
    while nested := [key for key, value in plain.items() if isinstance(value, dict)]:
        for key in nested:
            inside = plain.pop(key)
            if key.rpartition(".")[2] != FOUND:
                plain |= {f"{key}.{inner}": value for inner, value in inside.items()}
    return plain

"""Words of other codebases: what to write here instead (config/foreign.yaml), and EPyMARL's files of algorithms."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).resolve().parent.parent / "config" / "foreign.yaml"


@functools.cache
def table() -> dict[str, dict[str, str]]:
    """Return kind of word -> pattern -> what to write instead."""
    return yaml.safe_load(_FILE.read_text(encoding="utf-8"))


def advice(kind: str, word: str) -> str:
    """Return what to write instead of a foreign word, with a space before it; empty where nothing is known."""
    for pattern, text in table().get(kind, {}).items():
        match = re.fullmatch(pattern, word)
        if match:
            return " " + text.format("", *((group or "").replace("-", "_") for group in match.groups()))
    return ""


# -- EPyMARL's files of algorithms -----------------------------------------------------------------------------------

_MARKS = {"agent_output_type", "mask_before_softmax", "critic_type", "standardise_returns"}  # by which one is known
_ALWAYS = {  # key -> the value that says what is always so here
    "mask_before_softmax": "true", "standardise_returns": "false", "agent": "rnn", "use_wandb": "false",
    "wandb_save_model": "false", "buffer_cpu_only": "true",
}  # fmt: skip
_ALWAYS_OF = {  # the same where this learner reads it
    "q_learner": {"agent_output_type": "q", "obs_individual_obs": "false"},
    "coma_learner": {"agent_output_type": "pi_logits"},
}
_NOT_READ = {"critic_q_fn", "critic_baseline_fn", "critic_train_mode", "critic_train_reps"}  # by EPyMARL itself
_SIZES = ("batch_size_run", "batch_size", "buffer_size")


def translated(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an algorithm's settings file in this codebase's words; one that is not EPyMARL's comes back as it is.

    Only what means exactly the same is written anew, or left out where it is always so here. Other foreign words stay,
    for :func:`advice`.
    """
    values = dict(content)
    if not _MARKS & values.keys():
        return values
    learner = str(values.get("learner"))
    separate = values.get("mac") == "non_shared_mac" and values.get("agent") == "rnn_ns"
    always = _ALWAYS | _ALWAYS_OF.get(learner, {})
    if learner == "coma_learner":
        always["critic_type"] = "coma_critic_ns" if separate else "coma_critic"
        values = _on_policy(values)
    if separate:
        del values["agent"]
        values |= {"mac": "basic_mac", "parameter_sharing": "none"}
    if "mixer" in values and values["mixer"] in (None, "None"):
        values["mixer"] = "none"
    said = {key for key, value in always.items() if str(values.get(key)).lower() == value}
    return {key: value for key, value in values.items() if key not in said | _NOT_READ}


def _on_policy(values: dict[str, Any]) -> dict[str, Any]:
    """One number says how many episodes are gathered, kept and learnt from; hidden_dim is the critic's, too."""
    sizes = {str(values[key]) for key in _SIZES if key in values}
    if len(sizes) == 1 and "batch_size_run" in values:
        values = {key: value for key, value in values.items() if key not in _SIZES[1:]}
    if "hidden_dim" in values:
        values.setdefault("critic_hidden_dim", values["hidden_dim"])
    return values

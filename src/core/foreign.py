"""Words of other codebases: what to write here instead (config/foreign.yaml), and EPyMARL's files of algorithms."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from core.values import Raw

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
    "mask_before_softmax": "true", "standardise_returns": "false", "agent": "rnn",
    "buffer_cpu_only": "true",
}  # fmt: skip
_NOT_READ = {"critic_q_fn", "critic_baseline_fn", "critic_train_mode", "critic_train_reps"}  # by EPyMARL itself
_OUTPUT = {
    "q_learner": "q",
    "coma_learner": "pi_logits",
    "ppo_learner": "pi_logits",
    "actor_critic_learner": "pi_logits",
}
_CRITICS: dict[str, dict[str, dict[str, Any]]] = {  # learner -> critic_type (without _ns) -> what says the same
    "coma_learner": {"coma_critic": {}},
    "ppo_learner": {"cv_critic": {"critic_input": "state"}, "ac_critic": {"critic_input": "obs"}},
}
_CRITICS["actor_critic_learner"] = _CRITICS["ppo_learner"]
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
    always = _ALWAYS | {"agent_output_type": _OUTPUT.get(learner, "")}
    always |= {"obs_individual_obs": "false"} if learner != "coma_learner" else {}
    said = {key for key, value in always.items() if str(values.get(key)).lower() == value}
    values = {key: value for key, value in values.items() if key not in said | _NOT_READ}
    if learner in _CRITICS:
        values = _with_critic(values, learner, "_ns" if separate else "")
    if separate:
        del values["agent"]
        values |= {"mac": "basic_mac", "parameter_sharing": "none"}
    if "mixer" in values and values["mixer"] in (None, "None"):
        values["mixer"] = "none"
    return values


def _with_critic(values: dict[str, Any], learner: str, suffix: str) -> dict[str, Any]:
    """On-policy: hidden_dim is the critic's, too; one number says how many episodes are gathered, kept, learnt from."""
    sizes = {str(values[key]) for key in _SIZES if key in values}
    if len(sizes) == 1 and "batch_size_run" in values:
        values = {key: value for key, value in values.items() if key not in _SIZES[1:]}
    if "hidden_dim" in values:
        values.setdefault("critic_hidden_dim", values["hidden_dim"])
    for critic, same in _CRITICS[learner].items():
        if values.get("critic_type") == critic + suffix:
            values = {key: value for key, value in values.items() if key != "critic_type"} | same
    if learner == "coma_learner":
        return values
    values |= {"target_critic": Raw("true"), "learner": "ppo_learner"}
    if learner == "actor_critic_learner":
        return values | {"surrogate": "policy_gradient", "epochs": Raw("1")}
    return values | {"critic_updates": values.get("epochs", Raw("1"))}

"""From a command line to the settings of one run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

import controllers
import envs
import learners
import runners
from components.film import check_film
from core.errors import UserError
from core.registry import load
from core.settings import CONFIG_DIR, Section, config_path, merge, parse_overrides, read_yaml, split, validate
from resuming import NOT_RESUMED, check_same_run, resumed


class ExperimentSettings(Section):
    """What the experiment and its runner read; the values are in config/default.yaml."""

    name: str = Field(pattern=r"^[^/]+$", description="Name of the algorithm, as results are filed.")
    env: str = Field(description="Environment, a name in envs/__init__.py.")
    seed: int | None = Field(ge=0, lt=2**32, description="Of all random streams; null draws one and records it.")
    t_max: int = Field(ge=1, description="Environment steps of training.")
    device: str = Field(description="cpu, cuda, cuda:1, ...")
    torch_threads: int = Field(ge=1, description="Threads of PyTorch.")
    runner: str = Field(description="parallel or episode (one environment).")
    batch_size_run: int = Field(ge=1, description="Episodes gathered per iteration.")
    n_envs: int | None = Field(ge=1, description="Environments at once; null means batch_size_run.")
    test_n_envs: int | None = Field(ge=1, description="Environments at once in tests; null means at most 32.")
    common_reward: bool = Field(description="One team reward.")
    reward_scalarisation: Literal["sum", "mean"] = Field(description="How individual rewards become the team's.")
    test_interval: int = Field(ge=1, description="Environment steps between two tests.")
    test_nepisode: int = Field(ge=0, description="Episodes of a test; 0 turns tests off.")
    test_greedy: bool = Field(description="Test the greedy policy (else the sampling one).")
    test_sampled: bool = Field(description="Test the sampling policy too, logged as test_sampled_*.")
    runner_log_interval: int = Field(ge=1, description="Environment steps between two records of training episodes.")
    learner_log_interval: int = Field(ge=1, description="... of learner metrics.")
    log_interval: int = Field(ge=1, description="... between two tables on the console.")
    quiet: bool = Field(description="Print nothing while running.")
    use_tensorboard: bool = Field(description="Write TensorBoard files too.")
    local_results_path: str = Field(min_length=1, description="Folder of all results.")
    label: str | None = Field(description="A word of your own; recorded.")
    save_model: bool = Field(description="Write checkpoints.")
    save_model_interval: int = Field(ge=1, description="Environment steps between two checkpoints.")
    save_replay_buffer: bool = Field(description="Keep the replay buffer in the newest checkpoint (exact resume).")
    checkpoint_path: str = Field(description="Load trained networks from this models folder.")
    load_step: int = Field(ge=0, description="Step of checkpoint_path: 0 is the newest, else the nearest.")
    resume: str = Field(description="Continue this run (results folder, models folder or checkpoint).")
    evaluate: bool = Field(description="Test only; needs checkpoint_path.")
    render: bool = Field(description="The same as save_replay.")
    save_replay: bool = Field(description="Write a film of greedy episodes at the end.")
    replay_format: Literal["gif", "mp4"] = Field(description="Format of the film.")
    replay_episodes: int = Field(ge=1, description="Episodes in the film.")

    def task(self, env_args: Mapping[str, Any]) -> str:
        """What is played, for folder names: the map, key or game, else the environment's name."""
        named = next((str(env_args[key]) for key in ("map_name", "key", "game") if env_args.get(key)), self.env)
        return named.replace("/", "_")


@dataclass(frozen=True)
class Options:
    """Everything that is chosen before a run starts.

    Attributes:
        experiment, controller, learner, env_args: the sections of the parts.
        origins: key -> the layer its value came from.
        classes: "env", "controller", "learner", "runner" -> class.
        resume_from: checkpoint to continue, or None.
    """

    experiment: ExperimentSettings
    controller: Any
    learner: Any
    env_args: BaseModel
    origins: Mapping[str, str]
    classes: Mapping[str, Any]
    resume_from: Path | None = None

    def flat(self) -> dict[str, Any]:
        """All settings that this run reads, as Sacred records them."""
        sections = (self.experiment, self.controller, self.learner)
        values = {key: value for section in sections for key, value in section.model_dump(mode="json").items()}
        return {**dict(sorted(values.items())), "env_args": self.env_args.model_dump(mode="json")}

    def table(self) -> str:
        """Every key with its value, the layer that it came from and what it means (``--print-config``)."""
        parts = [
            (f"run: {self.experiment.name} on {self.experiment.env}", self.experiment, ""),
            (f"controller: {self.controller.mac}", self.controller, ""),
            (f"learner: {self.learner.learner}", self.learner, ""),
            (f"environment: {self.experiment.env}", self.env_args, "env_args."),
        ]
        sections = [(title, _rows(model, prefix, self.origins)) for title, model, prefix in parts]
        rows = [row for _, section in sections for row in section]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["# key = value, the layer that it came from, what it means. Layers, the last one wins:"]
        lines += ["# built-in < default.yaml < envs/*.yaml < algs/*.yaml < command line"]
        for title, section in sections:
            lines += ["", f"[{title}]"]
            for key, value, origin, about in section:
                lines.append(f"{key:<{widths[0]}} = {value:<{widths[1]}}  {origin:<{widths[2]}}  {about}".rstrip())
        return "\n".join(lines)


def _rows(model: BaseModel, prefix: str, origins: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    fields = type(model).model_fields
    return [
        (
            prefix + key,
            json.dumps(value),
            origins.get(prefix + key, "built-in"),
            (fields[key].description or "") if key in fields else "",
        )
        for key, value in model.model_dump(mode="json").items()
    ]


def resolve(config: str | None, env_config: str | None, words: Sequence[str]) -> Options:
    """Merge the layers, choose the parts, validate everything once.

    Args:
        config: name of config/algs/<name>.yaml; None only where resume= names a run.
        env_config: name of config/envs/<name>.yaml; likewise.
        words: key=value pairs of the command line.

    Raises:
        UserError: anything wrong with them.
    """
    layers, resume_from, saved = _layers(config, env_config, parse_overrides(words))
    merged = merge(layers)
    values = merged.values
    for key, option in (("learner", "--config"), ("env", "--env-config")):
        if key not in values:
            raise UserError(f"The settings name no {key}: {option} must give one.")
    classes = {
        "env": load(envs.REGISTRY, str(values["env"]), "environment"),
        "learner": load(learners.REGISTRY, str(values["learner"]), "learner"),
        "controller": load(controllers.REGISTRY, str(values.get("mac", "basic_mac")), "controller (mac)"),
        "runner": load(runners.REGISTRY, str(values["runner"]), "runner"),
    }
    models: dict[str, type[BaseModel]] = {
        "experiment": ExperimentSettings,
        "controller": classes["controller"].Settings,
        "learner": classes["learner"].Settings,
    }
    sections = split(merged, models, elsewhere=_elsewhere(models))
    env_args = validate(classes["env"].Args, values["env_args"], merged.origins, prefix="env_args.")
    options = Options(
        experiment=_with_seed(sections["experiment"]),
        controller=sections["controller"],
        learner=sections["learner"],
        env_args=env_args,
        origins=merged.origins,
        classes=classes,
        resume_from=resume_from,
    )
    if saved:
        check_same_run(options.flat(), saved, options.origins)
    _consistent(options)
    return options


Layers = list[tuple[str, Mapping[str, Any]]]


def _layers(
    config: str | None, env_config: str | None, command_line: Mapping[str, Any]
) -> tuple[Layers, Path | None, dict[str, Any]]:
    """The layers, the checkpoint that is resumed, and the settings of its run (empty where nothing is)."""
    resume_from, saved = resumed(command_line["resume"]) if "resume" in command_line else (None, {})
    if saved:
        if config is not None and config_name(config) != saved["name"]:
            raise UserError(f"{resume_from} is a checkpoint of {saved['name']}, not of --config={config}.")
    elif config is None or env_config is None:
        missing = "--config=ALGORITHM" if config is None else "--env-config=ENVIRONMENT"
        raise UserError(f"{missing} is missing. See --list for what there is and --help for an example.")
    layers: Layers = [("default.yaml", read_yaml(CONFIG_DIR / "default.yaml"))]
    if env_config is not None:
        layers.append((f"envs/{env_config}.yaml", read_yaml(config_path("envs", env_config))))
        if saved and layers[-1][1].get("env") != saved["env"]:
            raise UserError(f"{resume_from} was trained on {saved['env']}, not on --env-config={env_config}.")
    if config is not None:
        layers.append((f"algs/{config}.yaml", read_yaml(config_path("algs", config))))
    if saved:
        layers.append(("resumed run", {key: value for key, value in saved.items() if key not in NOT_RESUMED}))
    return [*layers, ("command line", command_line)], resume_from, saved


def config_name(config: str) -> str:
    """The ``name`` that an algorithm's settings file gives."""
    return str(read_yaml(config_path("algs", config)).get("name", config))


def _elsewhere(chosen: Mapping[str, type[BaseModel]]) -> dict[str, str]:
    """Keys of parts that this run does not use -> the part."""
    own = {key for model in chosen.values() for key in model.model_fields}
    found: dict[str, str] = {}
    for registry, kind in ((learners.REGISTRY, "learner"), (controllers.REGISTRY, "controller (mac)")):
        for name in registry:
            for key in load(registry, name, kind).Settings.model_fields:
                if key not in own:
                    found.setdefault(key, f"the {kind} {name}")
    return found


def _with_seed(settings: ExperimentSettings) -> ExperimentSettings:
    if settings.seed is not None:
        return settings
    return settings.model_copy(update={"seed": int(np.random.SeedSequence().generate_state(1)[0])})


def _consistent(options: Options) -> None:
    """Rules that concern more than one part."""
    s = options.experiment
    if s.evaluate and not s.checkpoint_path:
        raise UserError("evaluate=True needs trained networks: give checkpoint_path=results/models/<run>.")
    if s.evaluate and s.test_nepisode < 1:
        raise UserError(f"evaluate=True plays test_nepisode episodes, so it must be at least 1, got {s.test_nepisode}.")
    if s.resume and s.checkpoint_path:
        raise UserError("Give either resume= (continue a run exactly) or checkpoint_path= (load networks), not both.")
    if s.load_step and not s.checkpoint_path:
        raise UserError(
            f"load_step={s.load_step} chooses a step of checkpoint_path=, which is not given. (To resume from an older "
            "step give its folder: resume=results/models/<run>/<step>.)"
        )
    if s.render or s.save_replay:
        check_film(f".{s.replay_format}")
    if s.use_tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError("use_tensorboard=True needs the Python package tensorboard: pip install it.")

"""From a command line to the settings of one run."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

import envs
import runners
from components.film import check_film
from core.comparing import flattened
from core.data import EnvSpec
from core.errors import Faults, UserError
from core.ray_cluster import check_installed
from core.recommended import RECOMMENDED, task_name
from core.registry import load
from core.secrets import hidden
from core.settings import NESTED, TEAM, Merged, Section, merge, split, validate
from core.words import parse_overrides
from training.layering import layers_of
from training.players import Player, algorithm_models, elsewhere, team_player, team_words, with_full_names
from training.resuming import check_same_run


class ExperimentSettings(Section):
    """What the experiment and its runner read; the values are in config/default.yaml."""

    name: str = Field(pattern=r"^[^/]+$", description="Name of the algorithm, as results are filed.")
    env: str = Field(description="Environment, a name in envs/__init__.py.")
    seed: int | None = Field(ge=0, lt=2**32, description="Of all random streams; null draws one and records it.")
    t_max: int = Field(ge=1, description="Environment steps of training.")
    device: str = Field(description="cpu, cuda, cuda:1, ...")
    torch_threads: int = Field(ge=1, description="Threads of PyTorch.")
    recommended: bool = Field(description="Use the settings that are recommended for the algorithm on the environment.")
    runner: str = Field(description="parallel, episode (one environment) or ray (on a Ray cluster).")
    batch_size_run: int = Field(ge=1, description="Episodes gathered per iteration.")
    n_envs: int | None = Field(ge=1, description="Environments at once; null means batch_size_run.")
    test_n_envs: int | None = Field(ge=1, description="Environments at once in tests; null means at most 32.")
    ray_address: str | None = Field(
        description="Of the Ray cluster, host:port or auto; null: RAY_ADDRESS, else a Ray of this machine alone."
    )
    ray_workers: int | None = Field(
        ge=1, description="Processes on it that play, one core each; null: as many as it has cores, at most n_envs."
    )
    buffer_memory: float | None = Field(
        gt=0, description="GiB of all replay buffers; null: a quarter of the memory, at most 4. Lowers buffer_size."
    )
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
    mongo_url: str | None = Field(description="Copy the run into this MongoDB while it goes on; null: nowhere.")
    mongo_db: str = Field(pattern=r"^[^/\\. \"$*<>:|?\x00]{1,63}$", description="Database of mongo_url.")
    use_wandb: bool = Field(description="Copy the run into Weights & Biases while it goes on.")
    wandb_mode: Literal["offline", "online", "disabled"] = Field(
        description="offline: into local_results_path/wandb, for wandb sync; online: to its server; disabled: nowhere."
    )
    wandb_project: str | None = Field(description="Project in W&B; null: uncategorized.")
    wandb_team: str | None = Field(description="Whose project; null: that of the account.")
    wandb_save_model: bool = Field(description="Keep the newest networks in W&B too.")
    local_results_path: str = Field(min_length=1, description="Folder of all results.")
    label: str | None = Field(description="A word of your own; recorded.")
    save_model: bool = Field(description="Write checkpoints.")
    save_model_interval: int = Field(ge=1, description="Environment steps between two checkpoints.")
    save_replay_buffer: bool = Field(description="Keep the replay buffer in the newest checkpoint (exact resume).")
    keep_replay_buffer: bool = Field(description="... also when the run has completed (to resume with a larger t_max).")
    checkpoint_path: str = Field(description="Load trained networks from this models folder.")
    load_step: int = Field(ge=0, description="Step of checkpoint_path: 0 is the newest, else the nearest.")
    resume: str = Field(description="Continue this run (results folder, models folder or checkpoint).")
    evaluate: bool = Field(description="Test checkpoint_path with its run's settings, train nothing.")
    render: bool = Field(description="The same as save_replay.")
    save_replay: bool = Field(description="Write a film of greedy episodes at the end.")
    replay_format: Literal["gif", "mp4"] = Field(description="Format of the film.")
    replay_episodes: int = Field(ge=1, description="Episodes in the film.")

    def task(self, env_args: Mapping[str, Any]) -> str:
        """What is played, for names of folders: the environment with its map, key or game ("battle-3m")."""
        named = task_name(env_args)
        return self.env if named in (None, self.env) else f"{self.env}-{named}".replace("/", "_")


RUN_KEYS = frozenset(ExperimentSettings.model_fields)


@dataclass(frozen=True)
class Options:
    """Everything that is chosen before a run starts.

    Attributes:
        experiment, env_args: the sections of the run and of its environment.
        player: who plays every team that has no player of its own (the algorithm of --config).
        players: team -> its own player, where it has one.
        teams: names of all teams; empty where no team has a player of its own.
        origins: key -> the layer its value came from.
        classes: "env", "runner" -> class.
        resume_from: checkpoint to continue, or None.
    """

    experiment: ExperimentSettings
    env_args: BaseModel
    player: Player
    players: Mapping[str, Player]
    teams: tuple[str, ...]
    origins: Mapping[str, str]
    classes: Mapping[str, Any]
    resume_from: Path | None = None

    @property
    def learner(self) -> Any:
        """The learner's section of --config's algorithm."""
        return self.player.learner

    def player_of(self, team: str) -> Player:
        """Who plays a team."""
        return self.players.get(team, self.player)

    @property
    def title(self) -> str:
        """The algorithm, and who plays the other teams: "asae", "asae_preys-coma"; names folders."""
        own = [f"{team}-{one.label}" for team, one in self.players.items() if one.plays != self.experiment.name]
        return "_".join(own if own and len(own) == len(self.teams) else [self.experiment.name, *own])

    @property
    def recommended(self) -> dict[str, str]:
        """A row of a run's header: {"recommended": "lr=0.001 epochs=4 (recommended/battle.yaml)"}, or nothing."""
        values, found = flattened(self.flat()), dict[str, list[str]]()
        for key, layer in self.origins.items():
            if layer.startswith(f"{RECOMMENDED}/") and key in values and not self.experiment.evaluate:
                found.setdefault(layer, []).append(f"{key}={values[key]}")
        told = ", ".join(f"{' '.join(words)} ({layer})" for layer, words in found.items())
        return {RECOMMENDED: told} if told else {}

    def given(self) -> set[str]:
        """Keys (``env_args.x``, ``team.prey.lr``) that have another value than the one that is built in."""
        players = [("", self.player), *((f"{TEAM}.{name}.", one) for name, one in self.players.items())]
        parts = [(prefix, model) for prefix, player in players for _, model in player.sections()]
        found = {key for key in RUN_KEYS if self.origins.get(key, "default.yaml") != "default.yaml"}
        for prefix, model in [*parts, (f"{NESTED}.", self.env_args)]:
            fields, values = type(model).model_fields, model.model_dump()
            found |= {prefix + key for key, field in fields.items() if values[key] != field.get_default()}
        return found

    def flat(self, *, exact: bool = False) -> dict[str, Any]:
        """All settings that this run reads, as Sacred records them; exact: tuples for constructors stay tuples."""
        values = self.experiment.model_dump(mode="json") | self.player.flat()
        values["mongo_url"] = values["mongo_url"] and hidden(values["mongo_url"])
        teams = {name: {"plays": player.plays, **player.flat()} for name, player in self.players.items()}
        arguments = self.env_args.model_dump(mode="python" if exact else "json")
        return {**dict(sorted(values.items())), NESTED: arguments, **({TEAM: teams} if teams else {})}


def resolve(config: str | None, env_config: str | None, words: Sequence[str], teams: Sequence[str] = ()) -> Options:
    """Merge the layers, choose the parts, validate everything once.

    Args:
        config: name of config/algs/<name>.yaml; None only where a run is named to resume or to test.
        env_config: name of config/envs/<name>.yaml; likewise.
        words: key=value pairs of the command line.
        teams: who plays a team ("preys=coma"), as ``--team`` gives it.

    Raises:
        UserError: anything wrong with them.
    """
    command_line = parse_overrides(words)
    asked_keys = command_line.pop(TEAM, {})
    layers, source, recommend = layers_of(config, env_config, command_line)
    merged = merge(layers)
    values = merged.values
    _check_named(values)
    env = load(envs.REGISTRY, str(values["env"]), "environment")
    runner = load(runners.REGISTRY, str(values["runner"]), "runner")
    classes, models = algorithm_models(values)
    models = {"experiment": ExperimentSettings, **models}
    sections, env_args = _sections(merged, models, env.Args)
    experiment = _with_seed(sections.pop("experiment"))
    player = Player(plays=experiment.name, classes=classes, origins=merged.origins, **sections)
    asked, before = team_words(teams, asked_keys), source.players({}) if source else {}
    names = tuple(team.name for team in spec_of(env, env_args).teams) if asked or before else ()
    asked = with_full_names(asked, names, experiment.env)
    before = source.players(asked) if source else {}
    players = {
        name: team_player(
            name, asked.get(name, {}), before.get(name, {}), layers=layers, recommend=recommend, run_keys=RUN_KEYS
        )
        for name in names
        if name in asked or name in before
    }
    options = Options(
        experiment=experiment,
        env_args=env_args,
        player=player,
        players=players,
        teams=names,
        origins=_origins(merged.origins, players, asked),
        classes={"env": env, "runner": runner},
        resume_from=source.checkpoint if source and source.resumes else None,
    )
    if source and source.resumes:
        check_same_run(options.flat(), source.settings, options.origins)
    _consistent(options)
    return options


def _sections(
    merged: Merged, models: Mapping[str, type[BaseModel]], arguments: type[BaseModel]
) -> tuple[dict[str, Any], BaseModel]:
    """Those of the run's parts and of its environment; what is wrong with either is told at once."""
    faults = Faults()
    with faults.collect():
        others = dict.fromkeys(arguments.model_fields, NESTED) | elsewhere(models, merged.values)
        sections = split(merged, models, elsewhere=others)
    with faults.collect():
        env_args = validate(arguments, merged.values[NESTED], merged.origins, prefix=f"{NESTED}.")
    faults.end()
    return sections, env_args


def _check_named(values: Mapping[str, Any]) -> None:
    for key, option in (("learner", "--config"), ("env", "--env-config")):
        if key not in values:
            raise UserError(f"The settings name no {key}: {option} must give one.")


def spec_of(env: Any, env_args: BaseModel) -> EnvSpec:
    """Sizes and teams of an environment; makes one for a moment."""
    made = env(1, env_args)
    try:
        return made.spec
    finally:
        made.close()


def _origins(
    origins: Mapping[str, str], players: Mapping[str, Player], asked: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Those of the run and of every team."""
    found = dict(origins)
    for team, player in players.items():
        prefix = f"{TEAM}.{team}."
        found |= {key: layer for key, layer in player.origins.items() if key.startswith(prefix)}
        if "plays" in asked.get(team, {}):
            found[f"{prefix}plays"] = "command line"
    return found


def _with_seed(settings: ExperimentSettings) -> ExperimentSettings:
    if settings.seed is not None:
        return settings
    return settings.model_copy(update={"seed": int(np.random.SeedSequence().generate_state(1)[0])})


def _consistent(options: Options) -> None:
    """Rules that concern more than one part."""
    s = options.experiment
    learning = not options.teams or any(options.player_of(team).learner is not None for team in options.teams)
    if not learning and not s.evaluate:
        raise UserError("No team learns: let an algorithm play one, or give evaluate=True to watch these players.")
    if s.evaluate and learning and not s.checkpoint_path:
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
    if s.use_wandb and importlib.util.find_spec("wandb") is None:
        raise UserError("use_wandb=True needs the Python package wandb: pip install -r requirements-wandb.txt.")
    if s.runner == "ray":
        check_installed("runner=ray")
        if s.device != "cpu":
            raise UserError(f"runner=ray acts on the cluster's processors: give device=cpu, got {s.device}.")
    if s.mongo_url is not None:
        from mirrors.store import check_url  # slow to import, so only when asked for

        check_url(s.mongo_url)

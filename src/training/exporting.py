"""Trained policies as files for other programs: what ``export.py`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components import checkpoint, portable
from controllers.basic_controller import BasicController
from controllers.graphs import INPUTS, OUTPUTS, Graph
from core.data import TeamSpec, TeamStep
from core.errors import UserError
from core.kinds import DTYPE, UNIT
from core.registry import did_you_mean
from core.settings import NESTED
from observers.atomic import replace_file
from training import snapshot
from training.experiment import Experiment
from training.options import Options, resolve
from training.resuming import models_folder

FORMAT = 1  # of what a file says of itself
WORLDS, STEPS = 8, 16  # of the comparison with the checkpoint
ALIKE = 0.98  # share of equal decisions: where two actions are as good as equal the sums' order decides


def export(
    run: str,
    words: Sequence[str],
    *,
    out: str,
    kind: str | None = None,
    team: str | None = None,
    decentralised: bool = False,
    config: str | None = None,
    env_config: str | None = None,
) -> list[str]:
    """Write the networks of a run's policies, one file each; returns a line about each.

    Args:
        run: results folder, models folder or checkpoint.
        words: key=value pairs, which win over the run's settings.
        out: the file; with several networks <out>_<team>_<number> (of teams or networks where there are several).
        kind: of :data:`components.portable.SUFFIXES`; None for the file's suffix.
        team: whose; None for all teams that have networks.
        decentralised: refuse policies that decide for all agents together.
        config, env_config: name of the algorithm and of the environment, for checkpoints without settings.

    Raises:
        UserError: the run has no checkpoint or nothing to export, a package is missing, a file cannot be written.
    """
    path, kind = _named(Path(out), kind)
    portable.check_packages(kind)
    own = [*words, f"checkpoint_path={run}", "evaluate=true", "test_nepisode=1", "device=cpu"]
    options = resolve(config, env_config, own)
    folder = checkpoint.find(models_folder(run), options.experiment.load_step)
    experiment = Experiment(options)
    try:
        snapshot.load_networks(experiment, folder)
        chosen = _teams(experiment, team)
        found = [(name, graph) for name in chosen for graph in _graphs(experiment, name, decentralised)]
    finally:
        experiment.close()
    lines = []
    for name, graph in found:
        beside = [other for other in found if other[0] == name]
        parts = [name] if len(experiment.teams) > 1 else []
        parts += [str(beside.index((name, graph)))] if len(beside) > 1 else []
        file = path.with_name("_".join([path.stem, *parts]) + path.suffix)
        about = _about(options, folder, name, graph)
        content = portable.export(kind, graph, graph.example(), names=(INPUTS, OUTPUTS), about=about)
        _check(experiment, name, graph, portable.Portable(content, kind))
        _write(file, content)
        lines.append(_line(file, about, len(content)))
    return lines


def _named(path: Path, kind: str | None) -> tuple[Path, str]:
    """The file and its format."""
    of_suffix = {suffix: name for name, suffix in portable.SUFFIXES.items()}
    if kind is None and path.suffix not in of_suffix:
        raise UserError(f"--out {path} must end in {' or '.join(of_suffix)}, or give --format.")
    if path.suffix in of_suffix and kind not in (None, of_suffix[path.suffix]):
        raise UserError(f"--out {path} is {of_suffix[path.suffix]}'s, but --format {kind} was asked for: give one.")
    return path, kind or of_suffix[path.suffix]


def _teams(experiment: Experiment, team: str | None) -> list[str]:
    """Teams whose networks are wanted."""
    having = [name for name, one in experiment.teams.items() if isinstance(one.controller, BasicController)]
    if team is None:
        if not having:
            raise UserError("Scripts play all teams here: there are no networks to export.")
        return having
    full = next((name for name in experiment.teams if name.removesuffix("s") == team.removesuffix("s")), "")
    if not full:
        raise UserError(f"There is no team '{team}'.{did_you_mean(team, having)} Its teams: {', '.join(having)}.")
    if full not in having:
        plays = experiment.options.player_of(full).plays
        raise UserError(
            f"{plays} plays {full}: a script has no networks to export. Teams that do: {', '.join(having)}."
        )
    return [full]


def _graphs(experiment: Experiment, team: str, decentralised: bool) -> list[Graph]:
    graphs = experiment.controllers[team].graphs()
    if decentralised and any(graph.joint for graph in graphs):
        raise UserError(
            f"{experiment.options.player_of(team).plays} cannot act decentralised: each agent's action depends on what "
            "all agents see or did. Leave out --decentralised for its joint form (what all see in, all actions out)."
        )
    return graphs


def _about(options: Options, folder: Path, team: str, graph: Graph) -> dict[str, Any]:
    """What a file says of itself."""
    s, player, spec = options.experiment, options.player_of(team), graph.layout.spec
    arguments = options.env_args.model_dump(mode="json")
    return {
        "format": FORMAT,
        "algorithm": player.label,
        "environment": s.env,
        "task": s.task(arguments),
        NESTED: arguments,
        "team": team,
        "agents": graph.agents,
        "form": "joint" if graph.joint else "decentralised",
        "n_agents": spec.n_agents,
        "n_actions": spec.n_actions,
        "observation_size": spec.obs_dim,
        "observation_type": np.dtype(DTYPE[spec.obs_kind]).name,
        "observation_unit": UNIT[spec.obs_kind],
        "state_size": graph.state_size,
        "uses_last_action": graph.layout.last_action or graph.layout.mean_action,
        "uses_agent": graph.layout.agent_id,
        "network_input": [[name, size] for name, size in graph.layout.parts],
        "logits": "logits" if player.controller.action_selector == "soft_policies" else "q_values",
        "step": int(folder.name) if folder.name.isdigit() else None,
        "seed": s.seed,
        "torch": torch.__version__,
    }


def _check(experiment: Experiment, team: str, graph: Graph, file: portable.Portable) -> None:
    """Compare the file's decisions with the controller's, on random observations.

    Raises:
        UserError: they are others, since the controller decides in a way of its own.
    """
    controller, spec = experiment.controllers[team], graph.layout.spec
    rng, agents, n = np.random.default_rng(0), np.array(graph.agents), WORLDS * len(graph.agents)
    state, last = torch.zeros(n, graph.state_size), torch.full((n,), -1)
    controller.begin(WORLDS)
    equal = []
    for _ in range(STEPS):
        step = _random_step(spec, rng)
        wanted = controller.act(step, t_env=None, greedy_policy=True)[:, agents].reshape(n)
        obs, available = (torch.from_numpy(each[:, agents].reshape(n, -1)) for each in (step.obs, step.available))
        found, _, state = file(obs, available, torch.from_numpy(np.tile(agents, WORLDS)), last, state)
        equal.append(np.mean(found.numpy() == wanted))
        last = torch.from_numpy(wanted)
    if np.mean(equal) < ALIKE:
        raise UserError(
            f"{type(controller).__name__} cannot act decentralised as a file: it decides in another way than its "
            f"networks alone would ({np.mean(equal):.0%} of decisions are the same). Give it graphs() of its own."
        )


def _random_step(spec: TeamSpec, rng: np.random.Generator) -> TeamStep:
    shape = (WORLDS, spec.n_agents, spec.obs_dim)
    floats = spec.obs_kind == "floats"
    available = rng.random((WORLDS, spec.n_agents, spec.n_actions)) < 0.7
    available[..., 0] |= ~available.any(-1)
    return TeamStep(
        obs=rng.normal(size=shape).astype(np.float32) if floats else rng.integers(0, 256, shape, np.uint8),
        state=np.zeros((WORLDS, spec.state_dim), np.float32),
        available=available,
        rewards=np.zeros((WORLDS, spec.reward_dim), np.float32),
    )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [content])
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror}. Choose another --out.") from error


def _line(path: Path, about: dict[str, Any], size: int) -> str:
    agents = ", ".join(map(str, about["agents"]))
    form = "all together (observations of all in, actions of all out)" if about["form"] == "joint" else "each by itself"
    return f"{path}  {size / 1024:,.0f} KiB  {about['algorithm']}, {about['team']} {agents}, {form}"

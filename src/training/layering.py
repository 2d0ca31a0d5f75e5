"""The layers of a run's settings: files, a run that is continued or tested, the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from core.errors import UserError
from core.recommended import RECOMMENDED, recommended_layers
from core.settings import CONFIG_DIR, NESTED, config_layer, config_name, merge, read_yaml
from training.players import Layers
from training.resuming import YES, Source, source_of


def layers_of(
    config: str | None, env_config: str | None, command_line: Mapping[str, Any]
) -> tuple[Layers, Source | None, Callable[[str], Layers]]:
    """Return the layers of a run, the last one winning, and what else they come from.

    Args:
        config: name or path of an algorithm's file; None only where a run is named to resume or to test.
        env_config: of an environment's; likewise.
        command_line: settings that win over all files.

    Returns:
        the layers; the run that is resumed or tested; what gives the recommended layers of other algorithms.

    Raises:
        UserError: a file or a run is not there or not readable, or one that is needed is not named.
    """
    source = source_of(command_line)
    if source is None and (config is None or env_config is None):
        missing = "--config=ALGORITHM" if config is None else "--env-config=ENVIRONMENT"
        raise UserError(f"{missing} is missing. See --list for what there is and --help for an example.")
    layers: Layers = [("default.yaml", read_yaml(CONFIG_DIR / "default.yaml"))]
    env = None
    if env_config is not None:
        layers.append(config_layer("envs", env_config))
        env = str(layers[-1][1].get("env"))
    if config is not None:
        layers.append(config_layer("algs", config))
    if source is not None:
        layers.append(source.layer(None if config is None else config_name(config), env))
    layers.append(("command line", command_line))
    recommend = _recommended(layers, env_config or (str(source.settings["env"]) if source else None))
    if source is None and config is not None:  # otherwise that run's own settings are complete
        layers[-1:-1] = recommend(config)
    return layers, source, recommend


def _recommended(layers: Layers, env_config: str | None) -> Callable[[str], Layers]:
    """What gives the recommended layers of an algorithm: none where they are switched off."""
    values = merge(layers).values
    if env_config is None or str(values[RECOMMENDED]).lower() not in YES:
        return lambda _: []
    return partial(recommended_layers, env_config, values[NESTED])

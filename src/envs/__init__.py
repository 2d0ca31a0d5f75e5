"""Environments: name -> "module:Class", imported only when chosen.

Every class has an ``Args`` attribute (a frozen pydantic model: what ``env_args`` may hold), is built as
``Class(n_envs, args)`` and is a :class:`core.protocols.VecEnv`.
"""

REGISTRY: dict[str, str] = {
    "spread": "envs.particle.spread:Spread",
    "battle": "envs.battle.battle:Battle",
    "spread_paper": "envs.particle.spread_paper:SpreadPaper",
    "predator_prey": "envs.particle.predator_prey:PredatorPrey",
    "simple_tag": "envs.particle.simple_tag:SimpleTag",
    "matrix_game": "envs.matrix_game:MatrixGame",
    "pettingzoo": "envs.adapters.pettingzoo_env:PettingZoo",
    "gymma": "envs.adapters.gymma:Gymma",
    "vmas": "envs.adapters.vmas_env:Vmas",
    "sc2": "envs.adapters.starcraft2:StarCraft2",
    "sc2v2": "envs.adapters.smacv2:SMACv2",
}

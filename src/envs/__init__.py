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
    "pettingzoo": "envs.pettingzoo_env:PettingZoo",
    "gymma": "envs.gymma:Gymma",
    "vmas": "envs.vmas_env:Vmas",
    "sc2": "envs.starcraft2:StarCraft2",
    "sc2v2": "envs.smacv2:SMACv2",
}

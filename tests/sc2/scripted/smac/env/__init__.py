from smac.env.starcraft2.starcraft2 import StarCraft2Env  # noqa: F401

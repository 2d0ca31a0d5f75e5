"""Needs a module of its own folder whose name is one of ours."""

from envs.of_its_own import parallel_env  # noqa: F401

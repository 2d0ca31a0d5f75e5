"""Every key of every file is read by something, every setting is used, every registered class can be imported."""

import ast
import functools
import itertools
from pathlib import Path

import pytest
from pydantic import BaseModel

import controllers
import envs
import learners
import runners
from core.recommended import entries, recommended_names
from core.registry import load
from core.settings import CONFIG_DIR, NESTED, config_names, config_path, read_yaml
from envs.catalogue import SCRIPTS, TEAMS
from envs.scripted import SCRIPTED
from training.options import ExperimentSettings, resolve, spec_of

SOURCE = Path(__file__).parents[2] / "src"
TREES = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
REGISTRIES = {"environment": envs, "controller": controllers, "learner": learners, "runner": runners}
LINES = [(kind, name) for kind, package in REGISTRIES.items() for name in package.REGISTRY]


@pytest.mark.parametrize(("kind", "name"), LINES)
def test_every_registered_class_can_be_imported(kind, name):
    found = load(REGISTRIES[kind].REGISTRY, name, kind)
    assert isinstance(found, type)
    model = {"environment": "Args", "controller": "Settings", "learner": "Settings"}.get(kind)
    if model:
        settings = getattr(found, model)
        assert issubclass(settings, BaseModel)
        assert settings.model_config.get("frozen"), f"{name}'s settings can be changed"


@pytest.mark.parametrize(("config", "env"), list(itertools.product(config_names("algs"), config_names("envs"))))
def test_every_algorithm_resolves_with_every_environment(config, env):
    """resolve() refuses keys that no chosen part reads, so every key of the three files belongs to one."""
    options = resolve(config, env, [])
    assert options.experiment.name == config
    assert options.experiment.env == env
    given = read_yaml(CONFIG_DIR / "algs" / f"{config}.yaml") | read_yaml(CONFIG_DIR / "default.yaml")
    assert set(given) <= set(options.flat())


def recommended():
    """Every entry that we ship."""
    return [one for name in recommended_names() for one in entries(name)]


@pytest.mark.parametrize("entry", recommended(), ids=lambda entry: f"{entry.place} {entry.algorithm}")
def test_every_recommended_setting_is_one_of_the_algorithm(entry):
    """Where and how long it is run, and the environment itself, are not recommended."""
    assert entry.env in config_names("envs")
    key = next(iter({"map_name", "key", "game"} & read_yaml(config_path("envs", entry.env))[NESTED].keys()), "")
    options = resolve(entry.algorithm, entry.env, [f"{NESTED}.{key}={entry.task}"] if entry.task else [])
    assert [key for key in entry.settings if not options.origins[key].startswith(f"recommended/{entry.env}")] == []
    assert entry.settings.keys() <= options.player.flat().keys() | {"batch_size_run"}


def test_the_defaults_are_complete():
    """All of the experiment's settings stand in default.yaml, but those that algorithm and environment give."""
    given = set(read_yaml(CONFIG_DIR / "default.yaml"))
    assert set(ExperimentSettings.model_fields) - given == {"name", "env"}


def models():
    """Settings class -> the section's fields."""
    found = {ExperimentSettings}
    for kind, name in LINES:
        part = load(REGISTRIES[kind].REGISTRY, name, kind)
        found |= {getattr(part, attribute) for attribute in ("Settings", "Args") if hasattr(part, attribute)}
    return sorted(found, key=lambda model: model.__name__)


PASSED_ON = ("StarCraft2Args", "SMACv2Args")  # their keys go to the packages as they are: tests/sc2 compares them


@pytest.mark.parametrize(
    "model", [model for model in models() if model.__name__ not in PASSED_ON], ids=lambda model: model.__name__
)
def test_every_setting_is_read_somewhere(model):
    assert sorted(set(model.model_fields) - names_read()) == []


@functools.cache
def names_read():
    nodes = [node for tree in TREES.values() for node in ast.walk(tree)]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.value for node in nodes if subscript_key(node)}


def subscript_key(node):
    """Strings that index something: values["learner"]."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in {"learner", "mac", "env"}


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_setting_is_described(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_first_line_of_a_file_says_what_it_is(path):
    """--list prints it: a comment that does not go on in the next line."""
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert 10 < len(first) <= 115
    assert second == "#" or not second.startswith("#")


def test_what_the_list_says_is_so():
    assert set(TEAMS) <= set(envs.REGISTRY)
    for name in ("spread", "spread_paper", "predator_prey", "simple_tag", "matrix_game", "battle"):
        cls = load(envs.REGISTRY, name, "environment")
        assert tuple(team.name for team in spec_of(cls, cls.Args()).teams) == TEAMS.get(name, ("agents",))
    assert list(SCRIPTS) == list(SCRIPTED)
    for name, (_, where) in SCRIPTS.items():
        fits = load(SCRIPTED, name, "scripted player").fits
        places, _, team = where.partition(": ")
        assert where == "every team" if fits is None else fits == {(env, team) for env in places.split(", ")}

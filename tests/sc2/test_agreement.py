"""The battle world shows, rewards and ends the same units exactly as the real SMAC does, on all of its maps."""

import pytest

from envs.battle.maps import load_map, map_names

pytestmark = pytest.mark.smac

TOLERANCE = 1e-6
ORDER_TOLERANCE = 4e-6  # points of up to 34 in single precision, as they are sent
OFTEN = ["3m", "8m", "5m_vs_6m", "2s3z", "MMM", "MMM2", "2m_vs_1z", "3s5z_vs_3s6z", "1c3s5z", "bane_vs_bane"]
EVERYTHING = {
    "obs_last_action": True,
    "obs_pathing_grid": True,
    "obs_terrain_height": True,
    "obs_timestep_number": True,
    "state_timestep_number": True,
    "reward_only_positive": False,
    "reward_defeat": -30,
    "reward_death_value": 7,
    "reward_scale_rate": 5,
}
BARE = {"obs_all_health": False, "obs_own_health": False, "state_last_action": False, "reward_scale": False}
SPARSE = {"reward_sparse": True, "obs_all_health": False, "move_amount": 3}


@pytest.fixture
def side_by_side(standin):
    from mirror import SideBySide

    opened = []

    def build(map_name, **arguments):
        opened.append(SideBySide(map_name, **arguments))
        return opened[-1]

    yield build
    for pair in opened:
        pair.close()


def check(pair, episodes):
    for _ in range(episodes):
        pair.episode()
    found = pair.found
    print(f"{episodes} episodes, {found.steps} steps, {found.kills} deaths; largest differences {found.largest}")
    orders = found.largest.pop("orders")
    assert orders <= ORDER_TOLERANCE
    assert {name: gap for name, gap in found.largest.items() if gap > TOLERANCE} == {}
    assert set(found.largest) == {"observations", "state", "available actions", "reward"}
    assert found.steps > 10
    assert found.kills > 0


@pytest.mark.parametrize("map_name", ["3m", "MMM2", "2s3z", "3s5z", "1c3s5z", "bane_vs_bane"])
def test_types_of_the_agents(side_by_side, map_name):
    pair = side_by_side(map_name)
    pair.smac.reset()
    theirs = [unit.unit_type for _, unit in sorted(pair.smac.agents.items())]
    first = list(dict.fromkeys(theirs))
    assert load_map(map_name).ally_types == tuple(first.index(kind) for kind in theirs)


@pytest.mark.parametrize(
    "map_name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in map_names()]
)
def test_every_map(side_by_side, map_name):
    """Two episodes, so a soft restart too."""
    check(side_by_side(map_name), episodes=2)


@pytest.mark.parametrize("arguments", [EVERYTHING, BARE, SPARSE], ids=["everything", "bare", "sparse"])
@pytest.mark.parametrize("map_name", ["MMM", "2s3z"])
def test_what_settings_change(side_by_side, map_name, arguments):
    check(side_by_side(map_name, **arguments), episodes=2)


def enemies(smac, *spared):
    return [unit for unit in smac.enemies.values() if unit.unit_type not in spared and unit.health > 0]


def allies(smac, *spared):
    return [unit for unit in smac.agents.values() if unit.unit_type not in spared and unit.health > 0]


@pytest.mark.parametrize(
    ("map_name", "victims", "result"),
    [
        ("3s_vs_3z", enemies, "won"),
        ("3m", lambda smac: enemies(smac) + allies(smac), "not won"),  # a draw
        ("MMM", lambda smac: enemies(smac, 54), "won"),  # the last one is a medivac
        ("MMM2", lambda smac: allies(smac, smac.medivac_id), "not won"),
        ("MMM", lambda smac: enemies(smac) + allies(smac, smac.medivac_id), "not won"),
        ("MMM", lambda smac: enemies(smac) + allies(smac), "not won"),
    ],
    ids=["won", "draw", "enemy medivac left", "own medivac left", "only medivac left at all", "draw with medivacs"],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_how_battles_end(side_by_side, map_name, victims, result, sparse):
    pair = side_by_side(map_name, reward_sparse=sparse, reward_defeat=-50)
    pair.episode(victims)
    assert pair.found.results == [result]
    assert pair.found.largest["reward"] <= TOLERANCE
    assert pair.found.steps == 6

"""The stand-in's game and its answers to requests, without sockets."""

import numpy as np
import pytest
from game import ALLY_BASE, RESPAWN_LOOPS, Game
from s2clientprotocol import error_pb2
from s2clientprotocol import sc2api_pb2 as api
from server import REPLAY_MARK, Server

from envs.battle.maps import load_map, map_names
from envs.battle.simulator import Simulator
from envs.battle.state import ATTACK, MOVE

STOP_ID, MOVE_ID, ATTACK_ID, HEAL_ID = 4, 16, 23, 386


def own(game):
    return [unit for unit in game.units() if unit["owner"] == 1]


def enemies(game):
    return [unit for unit in game.units() if unit["owner"] == 2]


def reference(map_name, seed):
    simulator = Simulator(load_map(map_name), 1)
    simulator.reset(np.array([0]), np.array([seed], np.uint64))
    return simulator


def run(simulator, loops, orders=None):
    simulator.step(simulator.no_orders() if orders is None else orders, np.ones(1, bool), loops=loops)


def assert_same(game, simulator):
    """Health and place of all living units, by their number (the lower half of the tag)."""
    shown = {unit["tag"] & 0xFFFF: (unit["health"], unit["shield"], *unit["pos"].values()) for unit in game.units()}
    fields = ("health", "shield", "x", "y")
    units = simulator.units[0]
    assert shown == {i: tuple(unit[name] for name in fields) for i, unit in enumerate(units) if unit["alive"]}


@pytest.mark.parametrize("name", map_names())
def test_units_have_the_types_that_smac_expects(name):
    battle_map = load_map(name)
    game = Game(name, 1)
    allies = sorted(own(game), key=lambda unit: (unit["unit_type"], unit["pos"]["x"], unit["pos"]["y"]))
    assert [unit["tag"] & 0xFFFF for unit in allies] == list(range(battle_map.n_allies)), "SMAC's order is ours"
    order = ["baneling", "zergling"], ["colossus", "stalker", "zealot"], ["marauder", "marine", "medivac"]
    names = battle_map.type_names(allies=True)
    for family in order:
        present = [kind for kind in family if kind in names]
        for unit in allies:
            kind = names[unit["tag"] & 0xFFFF]
            if kind in family:
                assert unit["unit_type"] == ALLY_BASE + present.index(kind)
    ids = {
        "marine": 48, "marauder": 51, "medivac": 54, "zealot": 73, "stalker": 74, "colossus": 4, "zergling": 105,
        "baneling": 9, "hydralisk": 107, "spine_crawler": 98,
    }  # fmt: skip
    assert [unit["unit_type"] for unit in enemies(game)] == [ids[kind] for kind in battle_map.type_names(allies=False)]


def test_orders_reach_the_simulator():
    game, simulator = Game("3m", 5), reference("3m", 5)
    orders = simulator.no_orders()
    orders[0, 0] = (ATTACK, 4, 0.0, 0.0)
    orders[0, 1] = (MOVE, 0, 12.0, 9.0)
    assert game.order(game.tags[0], ATTACK_ID, game.tags[4], (0.0, 0.0))
    assert game.order(game.tags[1], MOVE_ID, 0, (12.0, 9.0))
    game.advance(8)
    run(simulator, 8, orders)
    assert_same(game, simulator)
    game.advance(8)
    run(simulator, 8)
    assert_same(game, simulator)
    assert game.order(game.tags[1], STOP_ID, 0, (0.0, 0.0))
    x = game.units()[1]["pos"]["x"]
    game.advance(8)
    assert game.units()[1]["pos"]["x"] == x


@pytest.mark.parametrize(
    ("tag", "ability", "target"),
    [(99, STOP_ID, 0), ("enemy", STOP_ID, 0), (0, 17, 0), (0, ATTACK_ID, 99), (0, HEAL_ID, 99)],
)
def test_orders_that_cannot_be(tag, ability, target):
    game, simulator = Game("3m", 5), reference("3m", 5)
    whom = {99: 99, "enemy": game.tags[3], 0: game.tags[0]}[tag]
    assert not game.order(whom, ability, target, (0.0, 0.0))
    game.advance(8)
    run(simulator, 8)
    assert_same(game, simulator)


def test_when_nobody_is_left_the_next_battle_begins_with_new_tags():
    game = Game("2s3z", 11)
    first = set(game.tags)
    game.advance(16)
    game.kill([unit["tag"] for unit in own(game)])
    game.advance(5)
    assert own(game) == []
    assert len(enemies(game)) == 5, "one side alone does not end it"
    game.kill([unit["tag"] for unit in enemies(game)])
    counts = []
    for _ in range(RESPAWN_LOOPS):
        game.advance(1)
        counts.append((len(own(game)), len(enemies(game))))
    assert counts == [(0, 0), (0, 5), (5, 5)]
    assert not first & set(game.tags)
    assert_same(game, reference("2s3z", 12))
    game.advance(1)
    assert game.loop == 16 + 5 + RESPAWN_LOOPS + 1


class Client:
    """Requests to a Server without a connection."""

    def __init__(self):
        self.server = Server()
        self.id = 0

    def raw(self, **request):
        self.id += 1
        response = api.Response.FromString(self.server.answer(api.Request(id=self.id, **request).SerializeToString()))
        assert response.id == self.id
        return response

    def __call__(self, **request):
        response = self.raw(**request)
        assert not response.error, response.error
        assert response.WhichOneof("response") == next(iter(request))
        return getattr(response, next(iter(request)))

    def create(self, path="SMAC_Maps/8m.SC2Map", data=b"bytes", players=(api.Participant, api.Computer)):
        setup = [api.PlayerSetup(type=kind) for kind in players]
        world = api.LocalMap(map_path=path, map_data=data)
        return self(create_game=api.RequestCreateGame(local_map=world, player_setup=setup, random_seed=4))

    def join(self):
        return self(join_game=api.RequestJoinGame(race=1, options=api.InterfaceOptions(raw=True)))


def test_the_states_of_a_game():
    client = Client()
    assert client.raw(ping=api.RequestPing()).status == api.launched
    assert client.raw(observation=api.RequestObservation()).error == ["not in a game"]
    assert client.raw(join_game=api.RequestJoinGame()).error == ["join_game before create_game"]
    client.create()
    assert client.raw(ping=api.RequestPing()).status == api.init_game
    assert client.join().player_id == 1
    assert client.raw(ping=api.RequestPing()).status == api.in_game
    assert client(step=api.RequestStep(count=3)).simulation_loop == 3
    assert client(observation=api.RequestObservation()).observation.game_loop == 3
    assert client.server.answer(api.Request(quit=api.RequestQuit()).SerializeToString()) is None


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"path": "8m.SC2Map"}, api.ResponseCreateGame.InvalidMapPath),
        ({"data": b""}, api.ResponseCreateGame.InvalidMapPath),
        ({"path": "SMAC_Maps/nowhere.SC2Map"}, api.ResponseCreateGame.InvalidMapPath),
        ({"players": (api.Participant, api.Participant)}, api.ResponseCreateGame.InvalidPlayerSetup),
    ],
)
def test_games_that_cannot_be_created(wrong, error):
    client = Client()
    assert client.create(**wrong).error == error
    assert client.raw(ping=api.RequestPing()).status == api.launched


def test_requests_that_smac_never_sends_are_refused():
    client = Client()
    client.create()
    client.join()
    for request in (
        {"query": {}}, {"leave_game": api.RequestLeaveGame()},
        {"restart_game": api.RequestRestartGame()}, {"debug": {"debug": [{"end_game": {}}]}},
        {"debug": {"debug": [{"create_unit": {"unit_type": 48, "owner": 2}}]}},  # only on SMACv2's empty map
    ):  # fmt: skip
        response = client.raw(**request)
        assert len(response.error) == 1
        assert response.WhichOneof("response") is None


def test_on_the_empty_map_units_are_those_that_are_created():
    """As SMACv2 asks for them; nobody comes again by himself."""
    client = Client()
    client.create("SMAC_Maps/32x32_flat.SC2Map")
    client.join()
    first = len(client(data=api.RequestData()).units) - 9  # SMACv2 counts its own nine kinds from behind

    def seen():
        found = client(observation=api.RequestObservation()).observation.raw_data.units
        return sorted((unit.owner, unit.unit_type) for unit in found), [unit.tag for unit in found]

    def create(unit_type, owner):
        where = {"x": 8 if owner == 1 else 24, "y": 16}
        unit = {"unit_type": unit_type, "owner": owner, "pos": where, "quantity": 1}
        return client.raw(debug={"debug": [{"create_unit": unit}]})

    assert seen()[0] == []
    for kind, owner in ((first + 6, 1), (first + 8, 1), (74, 2)):
        assert not create(kind, owner).error
    assert create(9999, 2).error
    assert seen()[0] == [], "from the next game loop on"
    client(step=api.RequestStep(count=1))
    kinds, tags = seen()
    assert kinds == [(1, first + 6), (1, first + 8), (2, 74)]
    client(debug={"debug": [{"kill_unit": {"tag": tags}}]})
    client(step=api.RequestStep(count=20))
    assert seen()[0] == []
    create(first, 1)
    client(step=api.RequestStep(count=1))
    assert seen()[0] == [(1, first)]


@pytest.mark.parametrize("name", ["8m", "corridor", "2c_vs_64zg", "6h_vs_8z"])
def test_terrain_is_coded_as_the_game_does(name):
    """One bit per cell from the southern row on, the first cell highest; heights one byte, from the northern row on."""
    client = Client()
    client.create(f"SMAC_Maps/{name}.SC2Map")
    client.join()
    raw = client(game_info=api.RequestGameInfo()).start_raw
    assert (raw.map_size.x, raw.map_size.y) == (32, 32)
    assert (raw.playable_area.p0.x, raw.playable_area.p1.x, raw.playable_area.p1.y) == (0, 32, 32)
    bits = np.unpackbits(np.frombuffer(raw.pathing_grid.data, np.uint8)).reshape(32, 32)
    heights = np.frombuffer(raw.terrain_height.data, np.uint8).reshape(32, 32)[::-1]
    assert (load_map(name).walkable == bits.T).all()
    np.testing.assert_array_equal(heights.T / 255, load_map(name).height)


def test_actions_are_answered_one_by_one():
    client = Client()
    client.create()
    client.join()
    units = client(observation=api.RequestObservation()).observation.raw_data.units
    tags = [units[0].tag, 12345]
    actions = [{"action_raw": {"unit_command": {"ability_id": STOP_ID, "unit_tags": [tag]}}} for tag in tags]
    assert client(action={"actions": actions}).result == [error_pb2.Success, error_pb2.Error]
    assert client(save_replay=api.RequestSaveReplay()).data == REPLAY_MARK + b": 8m, 0 game loops"

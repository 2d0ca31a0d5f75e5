"""PySC2 from PyPI, unmodified, plays with the stand-in: it finds, starts, talks to and ends it."""

import os
import signal
from pathlib import Path

import pytest
from absl import flags
from pysc2 import maps, run_configs
from pysc2.lib import protocol
from pysc2.lib.remote_controller import RequestError
from pysc2.maps import lib
from s2clientprotocol import debug_pb2, raw_pb2
from s2clientprotocol import sc2api_pb2 as api
from server import GAME_VERSION, REPLAY_MARK


class Dozen(lib.Map):
    """As SMAC declares its maps to PySC2."""

    name = filename = "3s_vs_4z"
    directory = "SMAC_Maps"
    players = 2


class Absent(Dozen):
    name = filename = "nowhere"


@pytest.fixture(scope="module", autouse=True)
def parsed():
    flags.FLAGS(["tests"])


@pytest.fixture
def start(standin):
    """Starts games; they are ended afterwards."""
    processes = []

    def launch(seed=1, game_map=Dozen, data=None):
        config = run_configs.get()
        processes.append(config.start(want_rgb=False))
        controller = processes[-1].controller
        path = maps.get(game_map.__name__).path
        world = api.LocalMap(map_path=path, map_data=config.map_data(path) if data is None else data)
        create = api.RequestCreateGame(local_map=world, realtime=False, random_seed=seed)
        create.player_setup.add(type=api.Participant)
        create.player_setup.add(type=api.Computer, race=1, difficulty=7)
        controller.create_game(create)
        controller.join_game(api.RequestJoinGame(race=3, options=api.InterfaceOptions(raw=True, score=False)))
        return processes[-1]

    yield launch
    for process in processes:
        process.close()


def units(controller, owner):
    return [unit for unit in controller.observe().observation.raw_data.units if unit.owner == owner]


def test_a_game_from_start_to_end(start, standin, tmp_path):
    process = start()
    controller, pid = process.controller, process.pid
    assert run_configs.get().version.build_version == 75689
    assert run_configs.get(version="4.10").version.game_version == "4.10.0"
    assert controller.ping().game_version == GAME_VERSION
    assert controller.status == protocol.Status.in_game
    info = controller.game_info()
    assert info.map_name == "3s_vs_4z"
    assert len(info.start_raw.pathing_grid.data) == 32 * 32 // 8

    stalkers, zealots = units(controller, 1), units(controller, 2)
    assert [(unit.health, unit.shield, unit.shield_max) for unit in stalkers] == [(80, 80, 80)] * 3
    assert [unit.unit_type for unit in zealots] == [73] * 4
    command = raw_pb2.ActionRawUnitCommand(ability_id=16, unit_tags=[stalkers[0].tag])
    command.target_world_space_pos.x, command.target_world_space_pos.y = stalkers[0].pos.x, stalkers[0].pos.y - 5
    result = controller.act(api.Action(action_raw=raw_pb2.ActionRaw(unit_command=command))).result
    assert list(result) == [1]
    controller.step(8)
    moved = units(controller, 1)[0]
    assert moved.pos.y < stalkers[0].pos.y
    assert moved.pos.x == pytest.approx(stalkers[0].pos.x, abs=0.2)
    assert controller.observe().observation.game_loop == 8

    tags = [unit.tag for unit in stalkers + zealots]
    controller.debug([debug_pb2.DebugCommand(kill_unit=debug_pb2.DebugKillUnit(tag=tags))])
    assert units(controller, 1) + units(controller, 2) == []
    controller.step(2)
    assert (len(units(controller, 1)), len(units(controller, 2))) == (0, 4)
    controller.step(1)
    assert not {unit.tag for unit in units(controller, 1)} & set(tags)

    path = run_configs.get().save_replay(controller.save_replay(), str(tmp_path), "3s_vs_4z")
    assert Path(path).read_bytes() == REPLAY_MARK + b": 3s_vs_4z, 11 game loops"
    with pytest.raises(protocol.ProtocolError, match="does not know the request restart_game"):
        controller.restart()
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_several_games_and_the_death_of_one(start):
    games = [start(seed=1), start(seed=2)]
    first, second = ([(unit.pos.x, unit.pos.y) for unit in units(game.controller, 1)] for game in games)
    assert first != second
    os.kill(games[0].pid, signal.SIGKILL)
    with pytest.raises(protocol.ConnectionError, match="observation"):
        games[0].controller.observe()
    games[1].controller.step(8)
    assert games[1].controller.observe().observation.game_loop == 8


def test_a_map_that_it_does_not_know(start):
    with pytest.raises(RequestError, match="InvalidMapPath"):
        start(game_map=Absent, data=b"bytes")

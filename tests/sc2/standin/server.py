"""A stand-in for StarCraft II: a test tool that speaks the game's protocol and is not the game.

It is started by PySC2 as ``SC2_x64 -listen 127.0.0.1 -port 12345 -dataDir ... -tempDir ...``, answers s2clientprotocol
requests over one WebSocket connection and ends with it. Requests that SMAC and SMACv2 never send are refused.
"""

import argparse
import socket
import sys

from frames import handshake
from s2clientprotocol import error_pb2, sc2api_pb2

from envs.battle.maps import map_names

LAUNCHED, INIT_GAME, IN_GAME = (sc2api_pb2.Status.Value(name) for name in ("launched", "init_game", "in_game"))
GAME_VERSION = "4.10.0.75689 (stand-in)"
REPLAY_MARK = b"stand-in replay"
FOLDER, SUFFIX = "SMAC_Maps/", ".SC2Map"
FLAT = "32x32_flat"
_PATIENCE_S = 120.0  # for a client that never comes


class Refused(Exception):
    """A request that cannot be answered now."""


class Server:
    """Answers one client's requests."""

    def __init__(self):
        self.status = LAUNCHED
        self.game = None
        self._setup = None

    def answer(self, data):
        """Return the response to one request, both serialised; None for ``quit``."""
        request = sc2api_pb2.Request.FromString(data)
        kind = request.WhichOneof("request")
        if kind == "quit":
            return None
        response = sc2api_pb2.Response(id=request.id)
        try:
            handler = getattr(self, f"_{kind}", None)
            if handler is None:
                raise Refused(f"the stand-in does not know the request {kind}")
            getattr(response, kind).SetInParent()
            handler(getattr(request, kind), getattr(response, kind))
        except Refused as refusal:
            response.ClearField(kind)
            response.error.append(str(refusal))
        response.status = self.status
        return response.SerializeToString()

    def _ping(self, _request, response):
        response.game_version = GAME_VERSION
        response.base_build = response.data_build = 75689

    def _create_game(self, request, response):
        path = request.local_map.map_path
        name = path.removeprefix(FOLDER).removesuffix(SUFFIX)
        if not request.local_map.map_data or path != f"{FOLDER}{name}{SUFFIX}" or name not in [*map_names(), FLAT]:
            response.error = sc2api_pb2.ResponseCreateGame.InvalidMapPath
            response.error_details = f"no map {path}"
            return
        if [setup.type for setup in request.player_setup] != [sc2api_pb2.Participant, sc2api_pb2.Computer]:
            response.error = sc2api_pb2.ResponseCreateGame.InvalidPlayerSetup
            return
        self._setup = (name, request.random_seed)
        self.status = INIT_GAME

    def _join_game(self, request, response):
        if self.status != INIT_GAME:
            raise Refused("join_game before create_game")
        if not request.options.raw:
            raise Refused("the stand-in has the raw interface alone")
        name, seed = self._setup
        if name == FLAT:
            from generated import Generated  # here, so that it listens before the simulator is loaded

            self.game = Generated(seed)
        else:
            from game import Game

            self.game = Game(name, seed)
        self.status = IN_GAME
        response.player_id = 1

    def _playing(self):
        if self.status != IN_GAME:
            raise Refused("not in a game")
        return self.game

    def _game_info(self, _request, response):
        arena = self._playing().battle_map
        width, height = arena.walkable.shape
        response.map_name = arena.name
        raw = response.start_raw
        for size in (raw.map_size, raw.pathing_grid.size, raw.terrain_height.size):
            size.x, size.y = width, height
        raw.playable_area.p1.x, raw.playable_area.p1.y = width, height
        rows = arena.walkable.T  # from y = 0 on
        raw.pathing_grid.bits_per_pixel = 1
        raw.pathing_grid.data = bytes(
            sum(bool(cell) << (7 - k) for k, cell in enumerate(row[x : x + 8]))
            for row in rows
            for x in range(0, width, 8)
        )
        raw.terrain_height.bits_per_pixel = 8
        raw.terrain_height.data = bytes(
            round(cell * 255) for row in arena.height.T[::-1] for cell in row
        )  # from the top

    def _observation(self, _request, response):
        game = self._playing()
        response.observation.game_loop = game.loop
        for unit in game.units():
            place = unit.pop("pos")
            message = response.observation.raw_data.units.add(**unit)
            message.pos.x, message.pos.y = place["x"], place["y"]

    def _action(self, request, response):
        game = self._playing()
        for action in request.actions:
            command = action.action_raw.unit_command
            point = command.target_world_space_pos
            given = [
                game.order(tag, command.ability_id, command.target_unit_tag, (point.x, point.y))
                for tag in command.unit_tags
            ]
            response.result.append(error_pb2.Success if all(given) else error_pb2.Error)

    def _step(self, request, response):
        game = self._playing()
        game.advance(request.count)
        response.simulation_loop = game.loop

    def _debug(self, request, _response):
        game = self._playing()
        for command in request.debug:
            kind, created = command.WhichOneof("command"), command.create_unit
            if kind == "kill_unit":
                game.kill(command.kill_unit.tag)
            elif kind != "create_unit" or not hasattr(game, "create"):
                raise Refused(f"the stand-in does not know the debug command {kind} on {game.battle_map.name}")
            elif not game.create(created.unit_type, created.owner, (created.pos.x, created.pos.y)):
                raise Refused(f"no unit type {created.unit_type} of player {created.owner}")

    def _data(self, _request, response):
        """As many unit types as there are; SMACv2 counts them."""
        from generated import N_TYPES

        self._playing()
        for number in range(N_TYPES):
            response.units.add(unit_id=number)

    def _save_replay(self, _request, response):
        game = self._playing()
        response.data = REPLAY_MARK + f": {game.battle_map.name}, {game.loop} game loops".encode()


def serve(host, port):
    """Answer one client until it quits or goes."""
    with socket.create_server((host, port)) as listener:
        listener.settimeout(_PATIENCE_S)
        connection = None
        while connection is None:
            stream, _ = listener.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = handshake(stream, "/sc2api")
    server = Server()
    while (request := connection.receive()) is not None:
        response = server.answer(request)
        if response is None:
            return
        connection.send(response)


def main(words):
    """The command line of SC2_x64, as far as PySC2 uses it."""
    parser = argparse.ArgumentParser(prog="SC2_x64 (stand-in)", allow_abbrev=False)
    parser.add_argument("-listen", required=True)
    parser.add_argument("-port", type=int, required=True)
    for name in ("-dataDir", "-tempDir", "-dataVersion"):
        parser.add_argument(name)
    options = parser.parse_args(words)
    serve(options.listen, options.port)


if __name__ == "__main__":
    main(sys.argv[1:])

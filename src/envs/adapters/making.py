"""Building other people's environments: drawn into arrays where they can be, with the length of episodes asked for.

Runs inside workers, so it must not import torch.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import UserError
from envs.adapters.adapting import positive_int

DRAWN = "rgb_array"
NEVER = 2**31 - 1
CLOCKS = {"lbforaging": "_max_episode_steps", "rware": "max_steps"}
"""Package -> attribute with the time limit, of environments known to report their time-out as a termination."""

_LIMITS = ("max_cycles", "max_steps", "max_episode_steps", "episode_limit", "horizon", "time_limit")
_ATTRIBUTES = (*_LIMITS[:-1], "_max_episode_steps")  # a time_limit may well be in seconds
_INSIDE = ("env", "aec_env", "par_env", "unwrapped", "single_agent_env")
_MOST_LAYERS = 30


def peek(thing: Any, name: str) -> Any:
    """Return an attribute, or None where there is none, or none yet."""
    try:
        return getattr(thing, name, None)
    except Exception:  # a property of somebody else's, which may work after a reset alone
        return None


def layers(env: Any) -> list[Any]:
    """Return an environment and those inside it, outermost first."""
    found = [env]
    for outer in found:
        for inner in (peek(outer, name) for name in _INSIDE):
            new = all(inner is not other for other in found)
            if new and (hasattr(inner, "reset") or hasattr(inner, "step")) and len(found) < _MOST_LAYERS:
                found.append(inner)
    return found


class Maker:
    """Builds one environment, as often as its arguments have to be changed.

    Args:
        make: takes keyword arguments.
        accepted: those that it takes; None: unknown.
        defaults: arguments' values where none are given.
        key: what messages call the environment.
        modes: its render modes; None: unknown before it is built.
        wrapped: steps after which the registry would cut an episode; a limit beside the environment's own, which
            this adapter keeps and a setting may replace.

    Attributes:
        refuses_drawing: whether it could not be built to be drawn into arrays, or should not.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *,
        accepted: Sequence[str] | None,
        defaults: Mapping[str, Any],
        key: str,
        modes: Sequence[str] | None,
        wrapped: int | None = None,
    ) -> None:
        self._make, self._accepted, self._defaults = make, accepted, defaults
        self._key, self._modes, self._wrapped = key, modes, wrapped
        self.refuses_drawing = False

    def build(self, arguments: Mapping[str, Any]) -> Any:
        """Build it, to be drawn into arrays where it can be and ``arguments`` do not say otherwise.

        Raises:
            UserError: it refuses its arguments.
        """
        may_draw = self._accepted is None or "render_mode" in self._accepted
        if "render_mode" in arguments:
            self.refuses_drawing = arguments["render_mode"] != DRAWN
        elif may_draw and (self._modes is None or DRAWN in self._modes):
            try:
                return self._make(render_mode=DRAWN, **arguments)
            except Exception:  # asked by trying; another mistake shows again below
                self.refuses_drawing = True
        try:
            return self._make(**arguments)
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(
                f"{self._key} refuses its arguments {dict(arguments)}: {type(error).__name__}: {error}"
            ) from error

    def build_limited(self, arguments: Mapping[str, Any], wanted: int | None) -> tuple[Any, int]:
        """Build it for episodes of ``wanted`` steps (None: as long as its own); returns it and that length.

        Its clock is left alone, since rewards and observations may follow it, and it reports its time-outs itself; a
        shorter limit is the adapter's to keep. Only the clocks of :data:`CLOCKS` are stopped.

        Raises:
            UserError: it refuses its arguments, its length is not known, or cannot be as long as ``wanted``.
        """
        env = self.build(arguments)
        own, name = self._own_limit(env, arguments)
        if _stop_clock(env):
            limit = wanted or own or self._wrapped
        elif wanted is None:
            limit = min(filter(None, (own, self._wrapped)), default=None)
        else:
            limit = wanted
            if own is not None and wanted > own:
                env = self._extended(env, arguments, wanted, own, name)
        if limit is None:
            raise UserError(f"{self._key} does not say how long an episode may be: set env_args.time_limit.")
        return env, limit

    def _own_limit(self, env: Any, arguments: Mapping[str, Any]) -> tuple[int | None, str]:
        """Return after how many steps it ends an episode by itself, if it says so, and where it says so."""
        found = []
        for layer in layers(env):
            values = [(peek(layer, name), name) for name in _ATTRIBUTES]
            values.append((peek(peek(layer, "spec"), "max_episode_steps"), "max_episode_steps"))
            found += [(limit, name) for value, name in values if (limit := positive_int(value))]
        if not found:
            given = {**self._defaults, **arguments}
            found = [(limit, name) for name in _LIMITS if (limit := positive_int(given.get(name)))]
        return min(((limit, name) for limit, name in found if limit < NEVER), default=(None, ""))

    def _extended(self, env: Any, arguments: Mapping[str, Any], wanted: int, own: int, name: str) -> Any:
        """Return it built anew for longer episodes."""
        known = [name.strip("_")] if self._accepted is None else [key for key in _LIMITS if key in self._accepted]
        given = next((key for key in known if key in arguments), None)
        if given:
            raise UserError(
                f"env_args.time_limit={wanted} is longer than env_args.{given}={arguments[given]}, after which "
                f"{self._key} ends its episodes by itself: leave one of them out."
            )
        for argument in known:
            with contextlib.suppress(UserError):
                longer = self.build({**arguments, argument: wanted})
                if (self._own_limit(longer, {argument: wanted})[0] or wanted) >= wanted:
                    with contextlib.suppress(Exception):  # the first one has never been used
                        env.close()
                    return longer
        raise UserError(
            f"{self._key} ends its episodes after {own} steps by itself and has no argument that changes it: "
            f"env_args.time_limit={wanted} must be at most {own}."
        )


def _stop_clock(env: Any) -> bool:
    """Stop a clock of :data:`CLOCKS`; returns whether there is one."""
    for layer in layers(env):
        attribute = CLOCKS.get(type(layer).__module__.partition(".")[0])
        if attribute and hasattr(layer, attribute):
            setattr(layer, attribute, NEVER)
            return True
    return False


class Drawing:
    """Draws an environment, if it can be.

    Attributes:
        possible: whether it can be.
    """

    def __init__(self, env: Any, *, refused: bool) -> None:
        """Ask the environment: its render mode, or else the signature of ``render`` and what its metadata say.

        Args:
            env: the environment.
            refused: :attr:`Maker.refuses_drawing`.
        """
        self._env = env
        self._mode: tuple[str, ...] = ()
        with contextlib.suppress(TypeError, ValueError):
            if "mode" in inspect.signature(peek(env, "render")).parameters:
                self._mode = (DRAWN,)
        inner = layers(env)
        modes = [mode for layer in inner if (mode := peek(layer, "render_mode"))]
        told = any(DRAWN in ((peek(layer, "metadata") or {}).get("render_modes") or ()) for layer in inner)
        self.possible = bool(self._mode) or DRAWN in modes or (told and not modes and not refused)

    def draw(self) -> np.ndarray:
        """Draw: uint8 [H, W, 3]. Raises ValueError where the environment gives something else."""
        return picture(self._env.render(*self._mode))


def picture(drawn: Any) -> np.ndarray:
    """Return what an environment has drawn as uint8 [H, W, 3]; also of grey and of transparent pictures.

    Raises:
        ValueError: it is none.
    """
    array = np.asarray(drawn)
    if array.ndim == 2:
        array = array[..., None].repeat(3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.size == 0:
        what = "None" if drawn is None else f"{type(drawn).__name__} of shape {array.shape}"
        raise ValueError(f"render() gave {what}, not an array of height x width x 3")
    if array.dtype != np.uint8 and not np.array_equal(array, array.astype(np.uint8)):
        raise ValueError(f"render() gave {array.dtype}, not whole numbers from 0 to 255 (uint8)")
    return np.ascontiguousarray(array[..., :3], np.uint8)

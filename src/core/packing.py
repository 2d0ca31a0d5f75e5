"""Episodes of different lengths as rows without the padding between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

FULL = 0.9  # a batch of which so much is real stays as it is
FEW = 64  # rows that are not worth sorting


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The real rows of a padded batch, all first ones, then all second ones, ..., the longest episode first.

    So the rows of one time step lie together, and the episodes that go on are the first of those of the step before
    (the order of ``torch.nn.utils.rnn.PackedSequence``).

    Attributes:
        index: int64 [P], row number in the flattened batch [B * T].
        sizes: rows of each time step; they never grow.
        shape: B and T.
    """

    index: Tensor
    sizes: list[int]
    shape: tuple[int, int]

    @classmethod
    def of(cls, real: Tensor) -> Packing | None:
        """Pack the true rows of a mask; None where little would be gained, and on devices, which would have to wait.

        Args:
            real: bool [B, T]; every episode's real rows come first.
        """
        n_episodes, n_steps = real.shape
        if real.device.type != "cpu" or real.numel() <= FEW:
            return None
        lengths = real.sum(1)
        if int(lengths.sum()) >= FULL * real.numel():
            return None
        order = lengths.argsort(descending=True, stable=True)
        steps, places = real[order].t().nonzero(as_tuple=True)
        sizes = [size for size in real.sum(0).tolist() if size > 0]
        return cls(index=order[places] * n_steps + steps, sizes=sizes, shape=(n_episodes, n_steps))

    def pack(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [1, P, ...]; what is packed already stays as it is."""
        if x.shape[:2] == (1, len(self.index)):  # there is padding, so that B = 1 has more steps
            return x
        return x.flatten(0, 1).index_select(0, self.index).unsqueeze(0)

    def unpack(self, x: Tensor) -> Tensor:
        """[1, P, ...] -> [B, T, ...], zero in padding."""
        n_episodes, n_steps = self.shape
        rows = x.new_zeros(n_episodes * n_steps, *x.shape[2:])
        return rows.index_copy(0, self.index, x.squeeze(0)).unflatten(0, self.shape)


def packed(packing: Packing | None, function: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """``function`` of [B, T, ...] on the real rows alone, zero in padding; on all of them without a packing."""
    return function(*xs) if packing is None else packing.unpack(function(*map(packing.pack, xs)))

"""Shape checks that name the axes."""

from __future__ import annotations

from torch import Tensor


def check(name: str, x: Tensor, axes: str, **sizes: int) -> Tensor:
    """Check that ``x`` has the named axes, e.g. ``check("q", q, "B T A U", A=3)``; return ``x``.

    Raises:
        ValueError: another number of axes, or an axis of another size.
    """
    names = axes.split()
    wrong = len(names) != x.dim() or any(
        sizes.get(axis, size) != size for axis, size in zip(names, x.shape, strict=True)
    )
    if wrong:
        wanted = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in names)
        raise ValueError(f"{name} must be [{wanted}], got {list(x.shape)}.")
    return x

"""Networks as files for other programs: ONNX and TorchScript, each with a JSON text about itself inside."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from core.errors import UserError

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}
ABOUT = "policy"  # key of the text in an ONNX file; in TorchScript it is the extra file policy.json
OPSET = 17
_REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-onnx.txt"


def check_packages(kind: str) -> None:
    """Check that what a format needs is installed.

    Raises:
        UserError: a package is missing.
    """
    needed = ("onnx", "onnxruntime") if kind == "onnx" else ()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"ONNX files need the Python package {' and '.join(missing)}, not installed here. Mend it: "
            f"{sys.executable} -m pip install -r {_REQUIREMENTS}"
        )


def export(
    kind: str,
    graph: nn.Module,
    example: Sequence[Tensor],
    *,
    names: tuple[Sequence[str], Sequence[str]],
    about: Mapping[str, Any],
) -> bytes:
    """Return a file of a network; the first axis of every input and output is free.

    Args:
        kind: of :data:`SUFFIXES`.
        graph: the network.
        example: inputs of the right shapes.
        names: of inputs and outputs.
        about: what is said of it inside.
    """
    text, file = json.dumps(about), io.BytesIO()
    with _quiet(), torch.no_grad():
        if kind == "torchscript":
            traced = torch.jit.trace(graph.eval(), tuple(example), check_trace=False)
            torch.jit.save(traced, file, _extra_files={f"{ABOUT}.json": text})
            return file.getvalue()
        axes = {name: {0: "rows"} for group in names for name in group}
        inputs, outputs = (list(group) for group in names)
        torch.onnx.export(
            graph.eval(), tuple(example), cast(Any, file), input_names=inputs, output_names=outputs, dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    return _completed(file.getvalue(), example, inputs, text)


def _completed(content: bytes, example: Sequence[Tensor], inputs: Sequence[str], text: str) -> bytes:
    """The exporter leaves out inputs that the network does not read: all networks are to be called alike."""
    import onnx

    model = onnx.load_from_string(content)
    there = {one.name: one for one in model.graph.input}
    types = {torch.float32: onnx.TensorProto.FLOAT, torch.uint8: onnx.TensorProto.UINT8}
    types |= {torch.bool: onnx.TensorProto.BOOL, torch.int64: onnx.TensorProto.INT64}
    every = [
        there.get(name) or onnx.helper.make_tensor_value_info(name, types[tensor.dtype], ["rows", *tensor.shape[1:]])
        for name, tensor in zip(inputs, example, strict=True)
    ]
    del model.graph.input[:]
    model.graph.input.extend(every)
    onnx.helper.set_model_props(model, {ABOUT: text})
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Portable:
    """A file of :func:`export`, as others run it.

    Args:
        content: of the file.
        kind: of :data:`SUFFIXES`.

    Attributes:
        about: what it says of itself.
    """

    def __init__(self, content: bytes, kind: str) -> None:
        self.kind = kind
        if kind == "torchscript":
            extra = {f"{ABOUT}.json": ""}
            with _quiet():
                self._run: Any = torch.jit.load(io.BytesIO(content), _extra_files=extra)
            self.about = json.loads(extra[f"{ABOUT}.json"])
            return
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        self._run = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
        self.about = json.loads(self._run.get_modelmeta().custom_metadata_map[ABOUT])

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Inputs in their order -> outputs in theirs."""
        if self.kind == "torchscript":
            with torch.no_grad():
                return self._run(*inputs)
        names = [one.name for one in self._run.get_inputs()]
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(array) for array in self._run.run(None, feed))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch says of formats that it would have others use (torch.export's), and of traced constants."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)

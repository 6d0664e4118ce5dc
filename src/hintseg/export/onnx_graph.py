"""The network of a run, and around it all that makes its input of a photograph and scores of logits.

What lies around the network is written in the text form of ONNX, one operator a line
(https://onnx.ai/onnx/repo-docs/Syntax.html). It computes what `predict/predictor.py` does:

- `fitted`: the longer side becomes zoom x size, in double precision, halves to even
  (`resize.fit_size`);
- `resized`: a triangle filter as wide as a pixel of the result, in 8 bits, that does not reach
  beyond the border (`resize.resize_image`, which is Pillow's);
- `continued`: by the last row and column, to whole cells of 4 x 4 pixels (`predict/tiles.py`);
- `normal`: then by the backbone's neutral colour, which is 0 here, to multiples of 32 pixels
  (`Embedder.forward`);
- `enlarged`: cells become pixels bilinearly (`tiles.label_at_resolution`). One more cell that
  repeats the last lets it reach beyond the image, where it is cut: rounding cannot lose a row.
"""

import copy
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import ModelProto, compose, helper, numpy_helper, parser, version_converter
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from torch import Tensor, nn

from hintseg.errors import RunError
from hintseg.models.embedder import PAD_TO, Segmenter
from hintseg.models.saved import ModelDescription
from hintseg.predict.onnx_model import STRIDE
from hintseg.resize import fit_size

FIRST_OPSET = 18  # of a resize that averages where it shrinks
TRACED_OPSET = 20  # the last that torch's tracer writes
TRACED_AT = (96, 128)  # pixels; any two multiples of 32
IN_FLOAT = ("ReduceL2", "Softmax")  # sums of squares overflow 16 bits

AROUND = """
hintseg (uint8[{height}, {width}, 3] image) =>
  (float[classes, {height}, {width}] scores, float[classes, rows, columns] cells)
{{
  shape = Shape(image)
  sides = Slice(shape, zero, two)
  sides_double = Cast <to = 11> (sides)
  longest = ReduceMax <keepdims = 1> (sides_double)
  wanted = Mul(zoom, {longer_side})
  factor = Div(wanted, longest)
  scaled = Mul(sides_double, factor)
  rounded = Round(scaled)
  rounded_whole = Cast <to = 7> (rounded)
  fitted = Max(rounded_whole, one)

  batch = Unsqueeze(image, zero)
  sizes = Concat <axis = 0> (one, fitted, three)
  resized = Resize <mode = "linear", antialias = 1, exclude_outside = 1,
    coordinate_transformation_mode = "half_pixel"> (batch, , , sizes)
  planes = Transpose <perm = [0, 3, 1, 2]> (resized)
  colours = Cast <to = 1> (planes)

  fitted_reach = Add(fitted, stride_less_one)
  grid = Div(fitted_reach, stride)
  celled = Mul(grid, stride)
  to_cells = Sub(celled, fitted)
  cell_pads = Concat <axis = 0> (none, to_cells)
  continued = Pad <mode = "edge"> (colours, cell_pads, , down_and_across)

  centred = Sub(continued, mean)
  normalised = Div(centred, std)
  celled_reach = Add(celled, block_less_one)
  blocks = Div(celled_reach, block)
  blocked = Mul(blocks, block)
  to_blocks = Sub(blocked, celled)
  block_pads = Concat <axis = 0> (none, to_blocks)
  normal = Pad(normalised, block_pads, , down_and_across)

  logits = Network(normal, grid)

  probabilities = Softmax <axis = 1> (logits)
  cells = Squeeze(probabilities, zero)

  with_one_more = Pad <mode = "edge"> (probabilities, one_more)
  sides_float = Cast <to = 1> (sides)
  fitted_float = Cast <to = 1> (fitted)
  ratios = Div(sides_float, fitted_float)
  factors = Mul(ratios, stride_float)
  scales = Concat <axis = 0> (unscaled, factors)
  enlarged = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel">
    (with_one_more, , scales)
  cut = Slice(enlarged, none, sides, down_and_across)
  scores = Squeeze(cut, zero)
}}
"""
CONSTANTS: Mapping[str, np.ndarray] = {
    "none": np.zeros(2, np.int64),
    "zero": np.zeros(1, np.int64),
    "one": np.ones(1, np.int64),
    "two": np.full(1, 2, np.int64),
    "three": np.full(1, 3, np.int64),
    "down_and_across": np.array([2, 3], np.int64),  # axes of an image as planes
    "stride": np.array(STRIDE, np.int64),
    "stride_less_one": np.array(STRIDE - 1, np.int64),
    "block": np.array(PAD_TO, np.int64),
    "block_less_one": np.array(PAD_TO - 1, np.int64),
    "one_more": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64),  # before, then behind, each axis
    "unscaled": np.ones(2, np.float32),
    "stride_float": np.array(STRIDE, np.float32),
}


def prediction_graph(
    model: nn.Module,
    description: ModelDescription,
    *,
    opset: int = FIRST_OPSET,
    fixed: tuple[int, int] | None = None,
    half: bool = False,
) -> ModelProto:
    """An ONNX model: uint8 RGB image (height, width, 3) -> probabilities of the classes.

    Its outputs are `scores` (classes, height, width) and `cells`: (classes, rows, columns), one for
    4 x 4 pixels of the image at its working size, of which the scores are made.

    Args:
        model: A Segmenter on the CPU, in evaluation mode.
        description: Of the model.
        opset: Version of the operators.
        fixed: Height and width of the only images it takes: all sizes are then constants.
        half: The network computes in 16 bits.

    Raises:
        RunError: The model is of another kind.
    """
    if not isinstance(model, Segmenter):
        raise RunError(f"a model of kind {description.kind!r} cannot be exported to ONNX")
    network = network_graph(model, description, opset=opset, fixed=fixed)
    if half:
        kept = [*DEFAULT_OP_BLOCK_LIST, *IN_FLOAT]
        network = convert_float_to_float16(network, keep_io_types=True, op_block_list=kept)
    whole = _around(network, model, description, fixed)
    return whole if fixed is None else _simplified(whole)


def network_graph(
    model: Segmenter,
    description: ModelDescription,
    *,
    opset: int,
    fixed: tuple[int, int] | None = None,
) -> ModelProto:
    """The network alone: normalised colours and the number of cells -> logits of the cells.

    Sides are multiples of 32 pixels; cells beyond the number are cut off, down and across, before
    the classifier sees them.

    The tracer of torch is used, not its newer exporter: that takes 45 to 110 s where this takes 3,
    for the default network, and minutes where a network computes its padding from the size.
    """
    axes = {"normal": {2: "padded_rows", 3: "padded_columns"}, "logits": {2: "rows", 3: "columns"}}
    rows, columns = TRACED_AT if fixed is None else _blocked(*fixed, description)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its age, and what it does not fold
        torch.onnx.export(
            _Network(model),
            (torch.zeros(1, 3, rows, columns), torch.tensor([rows // STRIDE, columns // STRIDE])),
            buffer,
            input_names=["normal", "grid"],
            output_names=["logits"],
            dynamic_axes=axes if fixed is None else None,
            opset_version=min(opset, TRACED_OPSET),
            dynamo=False,
        )
    traced = onnx.load_from_string(buffer.getvalue())
    return traced if opset <= TRACED_OPSET else version_converter.convert_version(traced, opset)


class _Network(nn.Module):
    """A segmenter for colours that are normalised already, and sides that need no padding."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.model.backbone.mean.fill_(0.0)
        self.model.backbone.std.fill_(1.0)

    def forward(self, normal: Tensor, grid: Tensor) -> Tensor:
        """Logits of the cells, as `Segmenter.forward` gives them."""
        embeddings = self.model.embedder.bare(normal)
        return self.model.classify(embeddings[:, :, : grid[0], : grid[1]])


def _blocked(height: int, width: int, description: ModelDescription) -> tuple[int, int]:
    """Sides of what the network sees of an image of this size."""
    rows, columns = fit_size(height, width, description.size, zoom=description.zoom)
    return -(-rows // PAD_TO) * PAD_TO, -(-columns // PAD_TO) * PAD_TO


def _around(
    network: ModelProto,
    model: Segmenter,
    description: ModelDescription,
    fixed: tuple[int, int] | None,
) -> ModelProto:
    """The graph of AROUND with the network in its place."""
    height, width = ("height", "width") if fixed is None else fixed
    longer_side = "longest" if description.size is None else "size"
    text = AROUND.format(height=height, width=width, longer_side=longer_side)
    graph = parser.parse_graph(text)
    inner = compose.add_prefix_graph(
        network.graph, "network/", rename_inputs=False, rename_outputs=False
    )
    nodes = []
    for node in graph.node:
        nodes += list(inner.node) if node.op_type == "Network" else [node]
    whole = helper.make_graph(
        nodes,
        "hintseg",
        graph.input,
        graph.output,
        [*inner.initializer, *_constants(model, description)],
    )
    opsets = list(network.opset_import)
    version = helper.find_min_ir_version_for(opsets)
    return helper.make_model(whole, opset_imports=opsets, ir_version=version)


def _constants(model: Segmenter, description: ModelDescription) -> list[onnx.TensorProto]:
    values = {
        **CONSTANTS,
        "mean": model.backbone.mean.numpy(),
        "std": model.backbone.std.numpy(),
        "zoom": np.array([description.zoom], np.float64),
        "size": np.array([description.size or 0], np.float64),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def _simplified(model: ModelProto) -> ModelProto:
    """Whatever follows from the size of the image is a constant: ONNX Runtime's basic level."""
    with TemporaryDirectory() as folder:
        options = SessionOptions()
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "simple.onnx")
        options.log_severity_level = 3
        InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)

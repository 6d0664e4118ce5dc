"""The network of a run, and around it all that makes scores of a photograph.

What lies around the network is written in the text form of ONNX, one operator a line
(https://onnx.ai/onnx/repo-docs/Syntax.html). It computes what `predict/predictor.py` does:

- `fitted`: the longer side becomes zoom x size, in double precision, halves to even
  (`resize.fit_size`);
- `resized`: by a triangle filter as wide as a pixel of the result, axis after axis, in the
  integers of Pillow's (`resize.resize_image`): bit for bit, where the Resize of ONNX Runtime, in
  single precision, is off by one at some pixels, enough to change one label of 20 000;
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
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, compose, helper, numpy_helper, parser, version_converter
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from torch import Tensor, nn

from hintseg.errors import RunError, WriteError
from hintseg.models.embedder import PAD_TO, Segmenter
from hintseg.models.saved import ModelDescription
from hintseg.predict.onnx_model import STRIDE
from hintseg.resize import fit_size
from hintseg.versions import version_of

FIRST_OPSET = 18  # that pads by axes
TRACED_OPSET = 20  # the last that torch's tracer writes
TRACED_AT = (96, 128)  # pixels; any two multiples of 32
PILLOW_OF_TALL_IMAGES = 13  # version: https://github.com/python-pillow/Pillow/pull/9549
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

{planes}
  batch = Unsqueeze(planes, zero)
  colours = Cast <to = 1> (batch)

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
AS_IT_IS = "  planes = Transpose <perm = [2, 0, 1]> (image)"
AS_WANTED = """
  lost = Sub(sides, fitted)
  rows_lost = Gather(lost, zero_long)
  columns_lost = Gather(lost, one_long)
  twice_columns_lost = Add(columns_lost, columns_lost)
  is_more = Greater(rows_lost, twice_columns_lost)
  is_less_high = Greater(rows_lost, zero_long)
  is_tall = And(is_more, is_less_high)
  is_down_first = And(is_tall, pillow_knows_tall)
  first_number = Where(is_down_first, zero_long, one_long)
  second_number = Sub(one_long, first_number)

  by_first = If (is_down_first) <
    then_branch = rows_first () => (uint8[r, 3, c] by_rows) {{
      by_rows = Transpose <perm = [0, 2, 1]> (image) }},
    else_branch = columns_first () => (uint8[c, 3, r] by_columns) {{
      by_columns = Transpose <perm = [1, 2, 0]> (image) }}>
{first}
  by_second = Transpose <perm = [2, 1, 0]> (first_done)
{second}
  planes = If (is_down_first) <
    then_branch = columns_last () => (uint8[3, r, c] from_columns) {{
      from_columns = Transpose <perm = [1, 2, 0]> (second_done) }},
    else_branch = rows_last () => (uint8[3, r, c] from_rows) {{
      from_rows = Transpose <perm = [1, 0, 2]> (second_done) }}>
"""
"""Across, then down; since version 13 Pillow begins with rows where it loses many more of them."""

RESIZED = """
  {axis}_from = Gather(sides_double, {number})
  {axis}_to = Gather(fitted, {number})
  {axis}_to_double = Cast <to = 11> ({axis}_to)
  {axis}_scale = Div({axis}_from, {axis}_to_double)
  {axis}_reach = Max({axis}_scale, one_double)
  {axis}_sharpness = Div(one_double, {axis}_reach)

  {axis}_cells = Range(zero_long, {axis}_to, one_long)
  {axis}_cells_double = Cast <to = 11> ({axis}_cells)
  {axis}_middle = Add({axis}_cells_double, half_double)
  {axis}_centre = Mul({axis}_middle, {axis}_scale)
  {axis}_begin = Sub({axis}_centre, {axis}_reach)
  {axis}_begin_rounded = Add({axis}_begin, half_double)
  {axis}_begin_whole = Floor({axis}_begin_rounded)
  {axis}_first = Max({axis}_begin_whole, zero_double)

  {axis}_side = Ceil({axis}_reach)
  {axis}_both = Add({axis}_side, {axis}_side)
  {axis}_taps_double = Add({axis}_both, one_double)
  {axis}_taps = Range(zero_double, {axis}_taps_double, one_double)
  {axis}_taps_down = Unsqueeze({axis}_taps, one)
  {axis}_place = Add({axis}_taps_down, {axis}_first)

  {axis}_off = Sub({axis}_place, {axis}_centre)
  {axis}_off_middle = Add({axis}_off, half_double)
  {axis}_sharp = Mul({axis}_off_middle, {axis}_sharpness)
  {axis}_distance = Abs({axis}_sharp)
  {axis}_near = Sub(one_double, {axis}_distance)
  {axis}_triangle = Max({axis}_near, zero_double)
  {axis}_inside = Less({axis}_place, {axis}_from)
  {axis}_kept = Where({axis}_inside, {axis}_triangle, zero_double)
  {axis}_total = ReduceSum({axis}_kept, zero)
  {axis}_share = Div({axis}_kept, {axis}_total)
  {axis}_fixed = Mul({axis}_share, precision)
  {axis}_fixed_rounded = Add({axis}_fixed, half_double)
  {axis}_fixed_whole = Floor({axis}_fixed_rounded)
  {axis}_flat_weights = Cast <to = 6> ({axis}_fixed_whole)
  {axis}_weights = Unsqueeze({axis}_flat_weights, two_and_three)
  {axis}_last = Sub({axis}_from, one_double)
  {axis}_place_inside = Min({axis}_place, {axis}_last)
  {axis}_places = Cast <to = 7> ({axis}_place_inside)

  {axis}_source_shape = Shape({source})
  {axis}_beside = Slice({axis}_source_shape, one, three)
  {axis}_count = Unsqueeze({axis}_to, zero)
  {axis}_shape = Concat <axis = 0> ({axis}_count, {axis}_beside)
  {axis}_begun = ConstantOfShape <value = int32[1] {{2097152}}> ({axis}_shape)
  {axis}_sums = Scan <num_scan_inputs = 2, body = {axis}_tap (
      int32[{axis}_n, 3, {axis}_m] before, int64[{axis}_n] places, int32[{axis}_n, 1, 1] weights)
      => (int32[{axis}_n, 3, {axis}_m] after) {{
    {axis}_seen = Gather <axis = 0> ({source}, places)
    {axis}_seen_int = Cast <to = 6> ({axis}_seen)
    {axis}_part = Mul({axis}_seen_int, weights)
    after = Add(before, {axis}_part)
  }}> ({axis}_begun, {axis}_places, {axis}_weights)
  {axis}_shifted = Div({axis}_sums, precision_int)
  {axis}_done = Cast <to = 2> ({axis}_shifted)
"""
"""The first of three axes as Pillow resizes it: fixed point with 22 bits, halves up, to 8 bits.

Tap after tap is added, so that no more than the result is held, and whole rows are fetched.
"""

CONSTANTS: Mapping[str, np.ndarray] = {
    "none": np.zeros(2, np.int64),
    "zero": np.zeros(1, np.int64),
    "one": np.ones(1, np.int64),
    "two": np.full(1, 2, np.int64),
    "three": np.full(1, 3, np.int64),
    "two_and_three": np.array([2, 3], np.int64),
    "down_and_across": np.array([2, 3], np.int64),  # axes of an image as planes
    "stride": np.array(STRIDE, np.int64),
    "stride_less_one": np.array(STRIDE - 1, np.int64),
    "block": np.array(PAD_TO, np.int64),
    "block_less_one": np.array(PAD_TO - 1, np.int64),
    "zero_long": np.array(0, np.int64),
    "one_long": np.array(1, np.int64),
    "zero_double": np.array(0, np.float64),
    "half_double": np.array(0.5, np.float64),
    "one_double": np.array(1, np.float64),
    "precision": np.array(2**22, np.float64),
    "precision_int": np.array(2**22, np.int32),
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
    buffer: Any = io.BytesIO()  # torch names files only, and takes both
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
    graph = parser.parse_graph(_text(fixed, description))
    inner = compose.add_prefix_graph(network.graph, "network/")
    # Its ends keep their names. (To ask for that by `rename_inputs=False` helps with newer onnx
    # only: 1.16 renames them in the nodes all the same.)
    ends = (*network.graph.input, *network.graph.output)
    own = {f"network/{end.name}": end.name for end in ends}
    for node in inner.node:
        node.input[:] = [own.get(name, name) for name in node.input]
        node.output[:] = [own.get(name, name) for name in node.output]
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


def _text(fixed: tuple[int, int] | None, description: ModelDescription) -> str:
    """What is around the network."""
    height, width = ("height", "width") if fixed is None else fixed
    is_resized = description.size is not None or description.zoom != 1
    longer_side = "longest" if description.size is None else "size"
    planes = AS_IT_IS
    if is_resized:
        first, second = (
            RESIZED.format(axis=axis, number=f"{axis}_number", source=f"by_{axis}")
            for axis in ("first", "second")
        )
        planes = AS_WANTED.format(first=first, second=second)
    return AROUND.format(height=height, width=width, longer_side=longer_side, planes=planes)


def _constants(model: Segmenter, description: ModelDescription) -> list[onnx.TensorProto]:
    values = {
        **CONSTANTS,
        "pillow_knows_tall": np.array(_pillow_version() >= PILLOW_OF_TALL_IMAGES),
        "mean": model.backbone.mean.numpy(),
        "std": model.backbone.std.numpy(),
        "zoom": np.array([description.zoom], np.float64),
        "size": np.array([description.size or 0], np.float64),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def _pillow_version() -> int:
    return int((version_of("pillow") or "0").split(".")[0])


def _simplified(model: ModelProto) -> ModelProto:
    """Whatever follows from the size of the image is a constant: ONNX Runtime's basic level."""
    with TemporaryDirectory() as folder:
        options = SessionOptions()
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "simple.onnx")
        options.log_severity_level = 3
        try:
            InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except InvalidProtobuf as error:  # what it says where it cannot write
            raise WriteError(
                f"{folder}: a temporary file cannot be written ({error}); make room there, or set "
                "TMPDIR to a folder on another disk"
            ) from error
        return onnx.load(options.optimized_model_filepath)

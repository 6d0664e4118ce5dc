"""What is exported to a tool comes back from it: every pixel keeps its class."""

import numpy as np
import pytest

from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_weak
from hintseg.export.exporting import export_labels
from hintseg.export.labelled import ExportOptions
from hintseg.formats.importing import import_dataset


@pytest.mark.parametrize(
    ("format", "file", "drawn"),
    [
        ("coco", "out.json", "polygons"),
        ("coco", "out.json", "masks"),
        ("cvat", "out.xml", "polygons"),
        ("cvat", "out.xml", "masks"),
        ("labelme", "out", "polygons"),
        ("labelme", "out", "masks"),
        ("yolo", "out", None),
    ],
)
def test_masks_exported_to_a_tool_come_back_as_hints(data_folder, tmp_path, format, file, drawn):
    options = ExportOptions(drawn, tolerance=0.0, smallest=0, background=True)
    export_labels(format, data_folder, tmp_path / file, options=options)
    source = open_dataset(data_folder)
    import_dataset(
        format,
        tmp_path / file,
        tmp_path / "back",
        images=data_folder / "images",
        classes=",".join(source.classes.names),
        placing="copy",
    )
    back = open_dataset(tmp_path / "back")
    masked = [name for name in back.hinted_names() if source.has_mask(name)]
    assert len(masked) >= 4
    for name in masked:
        truth, found = source.checked_truth(name), load_weak(back, name, size=None).labels
        order = np.array([source.classes.index(class_) for class_ in back.classes.names])
        known = truth >= 0
        assert (found[known] >= 0).all(), name
        assert (order[found[known]] == truth[known]).all(), name
        assert (found[~known] < 0).all(), name

"""What has been learned -> files that other tools open: label maps by format, models as ONNX."""

LABEL_FORMATS = {
    "masks": ("Label maps: class indices, colours, or a black and white file per class.", "maps"),
    "coco": ("COCO JSON: polygons, or masks as RLE, with scores.", "coco.json"),
    "yolo": ("A YOLO folder for segmentation: images, labels, data.yaml.", "yolo"),
    "cvat": ("CVAT for images 1.1, XML: polygons or masks, to upload to a task.", "cvat.xml"),
    "labelstudio": (
        "Label Studio tasks with predictions: polygons or brushes, with scores.",
        "tasks.json",
    ),
    "labelme": ("LabelMe files: polygons or masks.", "labelme"),
    "geojson": ("GeoJSON in pixels, for QuPath: polygons with holes, with scores.", "geojson"),
}
"""What the command line says of each format of `exporting.FORMATS`, and an output as example."""

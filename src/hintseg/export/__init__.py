"""Label maps -> files that other tools open: outlines, objects, one module per format."""

"""A folder of images, hints and masks -> samples -> batches."""

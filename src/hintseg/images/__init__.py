"""Photographs and label maps on disk: names, formats, depths, orientation."""

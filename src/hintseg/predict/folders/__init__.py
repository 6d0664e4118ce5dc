"""Folders of label maps: of photographs, and of images with hints."""

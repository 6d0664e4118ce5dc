"""Predict, label and evaluate: one command over the images, in shares and by several processes."""

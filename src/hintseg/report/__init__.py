"""Pages to look at: hints on their images, and what became of a run."""

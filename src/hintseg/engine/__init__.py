"""Method + batches -> trained weights in a run folder that can be resumed."""

"""`hintseg check`: everything that can be wrong with a data set, found without raising."""

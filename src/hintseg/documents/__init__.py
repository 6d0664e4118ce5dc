"""JSON and YAML from strangers -> plain values, within bounds; every reader of them comes here."""

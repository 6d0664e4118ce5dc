"""Every method on equal terms: cells that are trained and evaluated, one table, one page."""

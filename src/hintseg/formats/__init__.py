"""Other tools' files -> a data set folder: one module for each format, on a shared frame.

A reader (`READERS`) finds what a source says of which image (`found.py`); `importing.py` looks the
images up, fits the shapes to them and writes the data set with all that was left, and why.
"""

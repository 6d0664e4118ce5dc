"""The studio: draw hints, train, see and correct in the browser (docs/studio.md).

It holds no algorithm: what it shows is computed by the rooms before it.
"""

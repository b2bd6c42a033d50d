"""Multiprocessing on the engine: the names of the standard library's package."""

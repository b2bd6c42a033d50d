"""The standard library's multiprocessing on the engine."""

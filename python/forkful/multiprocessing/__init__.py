"""``multiprocessing`` on the engine: its modules under their names."""

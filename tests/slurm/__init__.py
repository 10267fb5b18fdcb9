"""A Slurm for tests and benchmarks."""

"""What a configuration asks for, carried out: what a job computes, and the artifacts of it."""

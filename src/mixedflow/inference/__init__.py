"""What follows from a fit: tests, intervals, effects, predictions, draws, as frames."""

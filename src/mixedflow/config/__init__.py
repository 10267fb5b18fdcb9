"""What an analysis is: the configuration, read, checked and frozen."""

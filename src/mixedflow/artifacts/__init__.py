"""How artifacts are stored and read back, and how numbers are shown; knows no model."""

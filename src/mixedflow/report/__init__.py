"""The HTML page and a paper's tables, from artifacts alone: lays out, and computes nothing anew."""

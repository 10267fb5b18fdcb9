"""Sentences, formulas and captions, from artifacts alone; fits nothing and draws nothing."""

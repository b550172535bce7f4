"""Loops that change weights: generators of typed events, blind to the terminal."""

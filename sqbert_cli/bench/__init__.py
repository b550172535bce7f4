"""Latency to be believed: the same weights and ids everywhere, in turn, outputs compared, the floor beside it."""

"""Benchmarks that are no tests: they print a ratio, and nothing fails because a machine was busy."""

"""Latency on an attached phone: transport, runtimes, conditions, results."""

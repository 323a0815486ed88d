"""Benchmarks: what things cost, by themselves and beside others."""

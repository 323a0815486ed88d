"""Benchmarks and videos as evaluation reads them."""

"""Tests, a file per module."""

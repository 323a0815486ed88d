"""Scores of whole folders of masks."""

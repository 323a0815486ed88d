"""What `scripts/ablate.py` runs, and what it tells."""

"""Generated data, for trials and tests."""

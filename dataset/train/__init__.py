"""Training clips: which are drawn, how they are read, augmented and batched."""

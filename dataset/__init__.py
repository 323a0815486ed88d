"""Pictures, videos and masks: for training, for evaluation, and how they lie on disk."""

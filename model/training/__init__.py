"""What a training run changes step by step: weights, optimiser, averages."""

"""Building blocks of the networks: trunks, encoders, decoders, sensory updates."""

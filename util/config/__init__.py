"""What a training run is: settings, presets, and how a command line becomes a run."""

"""What a run leaves and tells while it goes on."""

"""What every part uses; imports nothing of ours outside util."""

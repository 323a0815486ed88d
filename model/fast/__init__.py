"""What makes a built network fast without changing its results; networks themselves read like their papers."""

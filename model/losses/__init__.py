"""Losses of the segmentation and of the correspondence, and the table that joins them."""

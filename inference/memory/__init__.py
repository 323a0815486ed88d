"""What a segmenter remembers of the frames before."""

"""Files that are written whole or not at all, checked where they are read, or fetched."""

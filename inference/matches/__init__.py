"""How well keys find the same object in another frame: figures and pictures."""

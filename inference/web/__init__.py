"""The page: paint objects in a browser, propagate, look, correct, download."""

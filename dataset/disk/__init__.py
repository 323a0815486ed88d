"""Where data sets have their files, how these are read, and checks of them."""

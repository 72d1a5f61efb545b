"""A mask taken from a picture of the mask alone."""

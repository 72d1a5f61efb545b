"""A mask taken from a photograph of somebody who wears it."""

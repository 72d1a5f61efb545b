"""A face gets a mask: pure functions from an image and its faces to the masked image."""

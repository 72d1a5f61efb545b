"""Work through many items in processes. Knows nothing of pictures."""

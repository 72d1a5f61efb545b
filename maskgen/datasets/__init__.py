"""Where pictures come from and where they go. The only room that knows formats."""

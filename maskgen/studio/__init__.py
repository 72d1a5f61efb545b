"""How masks are made: rendered, taken from photographs of people who wear them, lifted from cut-outs."""

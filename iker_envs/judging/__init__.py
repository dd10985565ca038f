"""Is it done? Named conditions over poses and shapes, and expressions that put them together."""

"""What cameras see of a simulated world: ray-cast pictures, stills, a window."""

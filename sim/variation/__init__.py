"""How a simulated world differs from its description: at random from the episode's seed, or as the log of a real arm says."""

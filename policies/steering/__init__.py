"""Rules that turn (sampler, critic) into a better policy at run time; none of them touches weights."""

"""From a command line to composed configs, on Hydra; what is refused in configs that somebody
else wrote."""

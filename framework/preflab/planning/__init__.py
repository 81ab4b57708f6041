"""From a composed config to a checked run: typed choices, cross-checks, the stage graph, recipe
ids."""

"""The plugin door: finding plugins, checking them, isolating them, and naming whose mistake an
error is."""

"""Making the stages of a run: what components are given, the loop, reuse and resume."""

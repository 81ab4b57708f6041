"""The built-in plugins: one folder each, through the same entry-point door as anybody's."""

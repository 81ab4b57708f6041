"""From Python what the command line does, by the same words: runs, studies, their models and
numbers."""

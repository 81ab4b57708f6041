"""Rows with several answers, and what in them says which of the answers is the better one."""

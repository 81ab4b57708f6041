"""The log of use: who asked how much, and what a guard said; no text unless it is asked for.

log         a line a request, a file a day, kept for so many days
limits      requests a minute and tokens a day of a key
reading     the lines again
monitoring  rates by category and key, keys above the rest, sudden volume
"""

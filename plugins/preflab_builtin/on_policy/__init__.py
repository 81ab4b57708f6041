"""The core of on-policy algorithms: everything but the two functions that make one special."""

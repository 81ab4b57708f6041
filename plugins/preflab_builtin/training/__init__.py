"""What algorithms that train a policy share: it is judged while it trains, its best state can be
the result, and a later run can train on. A library: it registers nothing."""

"""The command line: flags, commands, tables, messages."""

"""The ``mobile_vla`` command: one file per subcommand; each parses, calls and prints."""

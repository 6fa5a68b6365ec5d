"""The `jsp` command: one file a command, what they share in `common`."""

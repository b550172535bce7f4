"""The network: torch only, blind to text, files and terminals."""

"""What differs between tasks: losses, decoding, metrics, and where GLUE keeps its columns."""

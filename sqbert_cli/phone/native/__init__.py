"""The program that runs and times our networks on a phone, without Python: its C sources, and how it is built."""

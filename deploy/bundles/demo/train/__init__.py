"""Trains the demo bundle from nothing; `python3 -m train --help`."""

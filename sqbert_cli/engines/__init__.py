"""What a finished network is turned into, once, to answer fast; the network's own files stay plain."""

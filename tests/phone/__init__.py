"""Phones to test with: Android's own adbd in private namespaces of this machine, dressed as a Pixel 3.

What describes the device (properties, battery, frequencies) is made up; what runs on it and how long that takes is not.
"""

"""Run and train small text models: one compact SqueezeBERT, weights included."""

__version__ = "0.1.0"

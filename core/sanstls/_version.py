"""The version of the distribution, written in this one place (PEP 440)."""

__version__ = "0.1.0"

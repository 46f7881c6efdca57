"""Which learning-rate policy should I train with, which should I avoid, and how sure are we?"""

__version__ = "0.1.0"

"""Advice from stored runs: recommend policies for a task, and verify that one reaches a target."""

from lrbench.advice.recommend import Advice, Recommendation
from lrbench.advice.verify import Verification

__all__ = ["Advice", "Recommendation", "Verification"]

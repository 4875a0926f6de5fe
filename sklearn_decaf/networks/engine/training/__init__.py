"""Forward and backward passes of networks whose parameters change."""

from .plan import TrainingPlan

__all__ = ["TrainingPlan"]

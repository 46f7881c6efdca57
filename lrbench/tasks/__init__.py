"""Tasks: what is trained. Datasets, models, optimizers, and the registries that name them."""

from lrbench.tasks import registered as _registered
from lrbench.tasks.any_task import AnyTask
from lrbench.tasks.augment import Augmentation, HorizontalFlip, RandomCrop, register_augmentation
from lrbench.tasks.data import Data, RawData, Split
from lrbench.tasks.limits import Precision
from lrbench.tasks.make import TaskLike, load_data, load_task, make_task, task_of
from lrbench.tasks.metric import Metric
from lrbench.tasks.optimizers import (
    SGD,
    Adam,
    AdamW,
    CaffeSGD,
    CustomOptimizer,
    OptimizerSpec,
    RMSprop,
    register_optimizer,
)
from lrbench.tasks.plugins import load_plugin
from lrbench.tasks.registry import register_dataset, register_model, register_task
from lrbench.tasks.settings import Choice, TaskSettings
from lrbench.tasks.table import settings_from_dict
from lrbench.tasks.task import Task

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AnyTask",
    "Augmentation",
    "CaffeSGD",
    "Choice",
    "CustomOptimizer",
    "Data",
    "HorizontalFlip",
    "Metric",
    "OptimizerSpec",
    "Precision",
    "RMSprop",
    "RandomCrop",
    "RawData",
    "Split",
    "Task",
    "TaskLike",
    "TaskSettings",
    "load_data",
    "load_plugin",
    "load_task",
    "make_task",
    "register_augmentation",
    "register_dataset",
    "register_model",
    "register_optimizer",
    "register_task",
    "settings_from_dict",
    "task_of",
]

del _registered

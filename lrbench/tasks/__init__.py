"""Tasks: what is trained. Datasets, models, optimizers, and the registries that name them.

The names below are loaded when they are first used, so that the names of tasks can be listed without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.tasks.any_task import AnyTask as AnyTask
    from lrbench.tasks.augment import Augmentation as Augmentation
    from lrbench.tasks.augment import HorizontalFlip as HorizontalFlip
    from lrbench.tasks.augment import RandomCrop as RandomCrop
    from lrbench.tasks.augment import register_augmentation as register_augmentation
    from lrbench.tasks.data import Data as Data
    from lrbench.tasks.groups import Groups as Groups
    from lrbench.tasks.initial_weights import Pretrained as Pretrained
    from lrbench.tasks.initial_weights import pretrained as pretrained
    from lrbench.tasks.limits import Precision as Precision
    from lrbench.tasks.make import TaskLike as TaskLike
    from lrbench.tasks.make import load_data as load_data
    from lrbench.tasks.make import load_task as load_task
    from lrbench.tasks.make import make_task as make_task
    from lrbench.tasks.make import task_of as task_of
    from lrbench.tasks.metric import Metric as Metric
    from lrbench.tasks.mixtures import CutMix as CutMix
    from lrbench.tasks.mixtures import Mixture as Mixture
    from lrbench.tasks.mixtures import MixUp as MixUp
    from lrbench.tasks.mixtures import register_mixture as register_mixture
    from lrbench.tasks.optimizers import SGD as SGD
    from lrbench.tasks.optimizers import Adam as Adam
    from lrbench.tasks.optimizers import AdamW as AdamW
    from lrbench.tasks.optimizers import CaffeSGD as CaffeSGD
    from lrbench.tasks.optimizers import CustomOptimizer as CustomOptimizer
    from lrbench.tasks.optimizers import OptimizerSpec as OptimizerSpec
    from lrbench.tasks.optimizers import RMSprop as RMSprop
    from lrbench.tasks.optimizers import register_optimizer as register_optimizer
    from lrbench.tasks.plugins import load_plugin as load_plugin
    from lrbench.tasks.raw_data import RawData as RawData
    from lrbench.tasks.registry import register_dataset as register_dataset
    from lrbench.tasks.registry import register_model as register_model
    from lrbench.tasks.registry import register_task as register_task
    from lrbench.tasks.settings import Choice as Choice
    from lrbench.tasks.settings import TaskSettings as TaskSettings
    from lrbench.tasks.split import Split as Split
    from lrbench.tasks.table import settings_from_dict as settings_from_dict
    from lrbench.tasks.table import task_from_dict as task_from_dict
    from lrbench.tasks.task import Task as Task
    from lrbench.tasks.training_function import TrainingFunction as TrainingFunction
    from lrbench.tasks.training_function import trainable as trainable
    from lrbench.tasks.training_run import TrainingRun as TrainingRun
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)

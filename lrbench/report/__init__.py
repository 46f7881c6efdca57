"""Pictures and tables of policies and of what a store knows; each picture is a function that returns a figure.

The ranking of a study in the store, in a notebook::

    from lrbench.report import ranking_figure, study_frames

    with lrbench.open_store() as store:
        study = study_frames("quickstart", store)
    ranking_figure(study.policies)

The names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.report.frames import Frames as Frames
    from lrbench.report.frames import study_frames as study_frames
    from lrbench.report.landscape import landscape_figure as landscape_figure
    from lrbench.report.page import report_page as report_page
    from lrbench.report.plots.confidence import confidence_figure as confidence_figure
    from lrbench.report.plots.confidence import reliability_figure as reliability_figure
    from lrbench.report.plots.cost import cost_figure as cost_figure
    from lrbench.report.plots.effects import effects_figure as effects_figure
    from lrbench.report.plots.family_tree import family_tree_figure as family_tree_figure
    from lrbench.report.plots.lr_curves import lr_figure as lr_figure
    from lrbench.report.plots.profile import profile_figure as profile_figure
    from lrbench.report.plots.range_map import range_map_figure as range_map_figure
    from lrbench.report.plots.ranking import ranking_figure as ranking_figure
    from lrbench.report.plots.robustness import robustness_figure as robustness_figure
    from lrbench.report.plots.search import SearchFrames as SearchFrames
    from lrbench.report.plots.search import importance_figure as importance_figure
    from lrbench.report.plots.search import search_frames as search_frames
    from lrbench.report.plots.search import search_progress_figure as search_progress_figure
    from lrbench.report.plots.training_curves import training_figure as training_figure
    from lrbench.report.range_test import range_figure as range_figure
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)

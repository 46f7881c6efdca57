"""The report: a study as one file that opens in any browser, without a network."""

from lrbench.report.page.render import report_page

__all__ = ["report_page"]

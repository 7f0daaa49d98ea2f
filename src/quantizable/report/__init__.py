"""Records -> tables, plots and one self-contained page; reads records on disk and nothing else.

claim, runs, timings: what a folder of records holds    accuracy, paired: statistics over seeds    claim_tables, tables: tables
pictures, *_plots: plots    contents, readme, page, write: the report beside the records    blocks: tables inside other pages
"""

from quantizable.report.blocks import check_tables, fill_tables
from quantizable.report.paired import Comparison, compare
from quantizable.report.tables import Table, as_data, as_markdown, as_text
from quantizable.report.write import ReportFiles, write_report

__all__ = [
    "Comparison",
    "ReportFiles",
    "Table",
    "as_data",
    "as_markdown",
    "as_text",
    "check_tables",
    "compare",
    "fill_tables",
    "write_report",
]

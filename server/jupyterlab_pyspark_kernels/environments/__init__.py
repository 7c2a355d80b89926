"""Python environments and Spark installations: found and judged by reading files, running nothing.

reading        what a directory or a file says: bounded, remembered while it is unchanged
environment    one environment: its kind, its packages, why no kernel can be started from it
finder         where they are looked for, and the search
prepare        whether what a kernel names is there
ours           whether the server may run or change one
"""

from __future__ import annotations

from .environment import (
    Environment,
    Installer,
    Kind,
    inspect_environment,
    jars_of,
    speaks_connect_only,
)
from .finder import DEFAULT_ROOTS, EnvironmentFinder, Found, find_environments
from .ours import why_not_ours, why_not_ours_java, why_not_ours_spark
from .prepare import (
    lacks_of_spark,
    prepare,
    spark_home_problem,
    why_not_allowed,
    why_not_there,
)

__all__ = [
    "DEFAULT_ROOTS",
    "Environment",
    "EnvironmentFinder",
    "Found",
    "Installer",
    "Kind",
    "find_environments",
    "inspect_environment",
    "jars_of",
    "lacks_of_spark",
    "prepare",
    "spark_home_problem",
    "speaks_connect_only",
    "why_not_allowed",
    "why_not_ours",
    "why_not_ours_java",
    "why_not_ours_spark",
    "why_not_there",
]

"""What tells two kernels apart."""

from jupyterlab_pyspark_kernels.compare import compare
from jupyterlab_pyspark_kernels.config import read_config


def test_fields_settings_and_variables_are_compared() -> None:
    left = read_config(
        {
            "name": "a",
            "environment": "/env",
            "executor_cores": 2,
            "per_user": ["spark.a"],
            "conf": {"spark.ui.port": "1", "spark.a": "${launch.user}"},
            "env": {"HOME": "/a"},
        }
    )
    right = read_config(
        {
            "name": "b",
            "place": "shared",
            "display_name": "B",
            "environment": "/env",
            "carry": True,
            "conf": {"spark.ui.port": "1", "spark.a": "y"},
            "env": {"TERM": "x"},
        }
    )
    rows = compare(left.model_dump(exclude_none=True), right.model_dump(exclude_none=True)).rows
    assert [(row.field, row.left, row.right, row.same) for row in rows] == [
        ("display_name", "a", "B", False),
        ("environment", "/env", "/env", True),
        ("master", "local[*]", "local[*]", True),
        ("executor_cores", "2", None, False),
        ("carry", "false", "true", False),
        ("carry_everything", "false", "false", True),
        ("driver_start", "auto", "auto", True),
        ("spark.a", "${launch.user}", "y", False),
        ("spark.ui.port", "1", "1", True),
        ("env.HOME", "/a", None, False),
        ("env.TERM", None, "x", False),
        ("per_user", "spark.a", None, False),
    ]

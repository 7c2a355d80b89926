"""What is derived from the models does not drift from them."""

from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.config import KernelConfig
from jupyterlab_pyspark_kernels.schemas import ROOT, derived_files, form_schema, settings_schema


@pytest.mark.parametrize("path", derived_files(), ids=str)
def test_a_derived_file_is_up_to_date(path: Path) -> None:
    remedy = "run: python -m jupyterlab_pyspark_kernels.schemas"
    assert (ROOT / path).read_text(encoding="utf-8") == derived_files()[path], remedy


def test_the_form_has_every_field() -> None:
    assert set(form_schema()["properties"]) == set(KernelConfig.model_fields)


def test_every_field_but_the_names_has_a_default_setting() -> None:
    fields = set(KernelConfig.model_fields) - {"name", "display_name", "choices", "per_user"}
    assert set(settings_schema()["properties"]) == fields


def test_every_field_is_explained() -> None:
    for field in form_schema()["properties"].values():
        assert field["title"]
        assert field["description"].endswith(".")

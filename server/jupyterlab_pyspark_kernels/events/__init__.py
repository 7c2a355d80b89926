"""The Jupyter events that this server emits, one schema file for each."""

from __future__ import annotations

from pathlib import Path

KERNEL_SCHEMA_ID = "https://events.jupyter.org/jupyterlab_pyspark_kernels/kernel/v1"
KERNEL_SCHEMA_FILE = Path(__file__).parent / "kernel.yaml"
TASK_SCHEMA_ID = "https://events.jupyter.org/jupyterlab_pyspark_kernels/task/v1"
TASK_SCHEMA_FILE = Path(__file__).parent / "task.yaml"
AUDIT_SCHEMA_ID = "https://events.jupyter.org/jupyterlab_pyspark_kernels/audit/v1"
AUDIT_SCHEMA_FILE = Path(__file__).parent / "audit.yaml"

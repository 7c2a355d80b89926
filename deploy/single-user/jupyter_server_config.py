"""Every user's server: the one template, and the end of what is idle. In /etc/jupyter."""

import os

c = get_config()  # noqa: F821


def seconds(name: str, default: int) -> int:
    """Read a time that the hub may say otherwise."""
    return int(os.environ.get(name, default))


# A kernel ends when no cell has run for so long, though a notebook may still be open, …
kernel_idle = seconds("KERNEL_IDLE_SECONDS", 4 * 3600)
c.MappingKernelManager.cull_idle_timeout = kernel_idle
c.MappingKernelManager.cull_interval = min(60, kernel_idle)
c.MappingKernelManager.cull_connected = True
c.MappingKernelManager.cull_busy = False
c.TerminalManager.cull_inactive_timeout = kernel_idle
c.TerminalManager.cull_interval = min(60, kernel_idle)
# … and the server when it has no kernel any longer and nobody has asked it anything.
c.ServerApp.shutdown_no_activity_timeout = seconds("SERVER_IDLE_SECONDS", 3600)

templates = os.environ.get("TEMPLATES", "/etc/pyspark-kernels/templates")
c.PySparkKernels.template_directories = [templates]
c.PySparkKernels.require_template = True

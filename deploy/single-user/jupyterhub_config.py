"""The hub's part: what it tells every user's server. To be loaded by your jupyterhub_config.py."""

c = get_config()  # noqa: F821

# Beside what your own configuration says.
c.Spawner.environment.update(
    {
        # The administrator's kernels come before the users' own.
        "JUPYTER_PATH": "/usr/local/share/jupyter",
        # By variables too, because a user's own configuration wins over the administrator's files.
        "PYSPARK_KERNELS_TEMPLATE_DIRECTORIES": "/etc/pyspark-kernels/templates",
        "PYSPARK_KERNELS_REQUIRE_TEMPLATE": "1",
        "KERNEL_IDLE_SECONDS": "14400",
        "SERVER_IDLE_SECONDS": "3600",
    }
)
# A server that ended by itself is started anew when its user comes back.
c.JupyterHub.implicit_spawn_seconds = 5

"""Server configuration for the browser tests.

Never use it elsewhere: it opens JupyterLab's internals to scripts, and lets anybody in.
"""

import os
import pwd

from jupyterlab.galata import configure_jupyter_server

c = get_config()  # noqa: F821
configure_jupyter_server(c)
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = int(os.environ["PYSPARK_KERNELS_UI_PORT"])
c.ServerApp.port_retries = 0
c.PySparkKernels.template_directories = [os.environ["PYSPARK_KERNELS_UI_TEMPLATES"]]
c.PySparkKernels.template_administrators = [pwd.getpwuid(os.getuid()).pw_name]

"""The hub of the cluster; what differs from one to another is in values.env, which run.sh reads."""

import os

c = get_config()  # noqa: F821

root, value = os.environ["ROOT"], os.environ.__getitem__
port, certificate = value("HUB_PORT"), value("TLS_CERT")

# Passwords go over the network with TLS only.
if certificate:
    c.JupyterHub.bind_url = f"https://:{port}"
    c.JupyterHub.ssl_cert = certificate
    c.JupyterHub.ssl_key = value("TLS_KEY")
else:
    c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{value('HUB_API_PORT')}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{value('HUB_PROXY_API_PORT')}"
c.ConfigurableHTTPProxy.command = [value("HUB_PROXY")]

# The users of the system, with its passwords.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.service = value("HUB_PAM_SERVICE")
c.PAMAuthenticator.open_sessions = False
c.Authenticator.allowed_users = set(value("HUB_USERS").split())

c.Spawner.cmd = [f"{value('JUPYTER_ENV')}/bin/jupyterhub-singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = c.Spawner.start_timeout = 180
c.Spawner.env_keep.append("JAVA_HOME")
c.Spawner.environment = {
    # Before a user's own, so that nobody's kernel takes the place of the shared one.
    "JUPYTER_PATH": f"{root}/usr/local/share/jupyter",
    "JUPYTER_CONFIG_PATH": f"{root}/etc/jupyter",
    # By variables, because a user's own configuration wins over the administrator's files.
    "PYSPARK_KERNELS_TEMPLATE_DIRECTORIES": f"{root}/etc/pyspark-kernels/templates",
    "PYSPARK_KERNELS_REQUIRE_TEMPLATE": "1",
}

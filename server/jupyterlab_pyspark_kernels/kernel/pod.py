"""What Spark on Kubernetes has to know of the pod that the notebook runs in.

Nobody knows a pod's address and name before it runs. Kubernetes tells them to the pod in variables,
if whoever describes the pod asks for them (the downward API).
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

ADDRESS = "PYSPARK_KERNELS_POD_IP"
NAME = "PYSPARK_KERNELS_POD_NAME"
NAMESPACE = "PYSPARK_KERNELS_POD_NAMESPACE"

_NAMESPACE_SETTING = "spark.kubernetes.namespace"


def tell_pod(environ: Mapping[str, str], system: Any) -> None:
    """Give Spark's JVM the settings that follow from this pod, but for those that are set.

    Args:
        environ: the kernel's variables.
        system: the JVM's `java.lang.System`.
    """
    if not (system.getProperty("spark.master") or "").startswith("k8s://"):
        return

    def unless_set(key: str, value: Optional[str]) -> None:
        if value and system.getProperty(key) is None:
            system.setProperty(key, value)

    address, namespace = environ.get(ADDRESS, ""), environ.get(NAMESPACE)
    # By its name nobody would find it: pods have none in the DNS.
    unless_set("spark.driver.host", f"[{address}]" if ":" in address else address)
    unless_set(_NAMESPACE_SETTING, namespace)
    # Executors go with the pod that owns them, which has to be in their namespace.
    if namespace and system.getProperty(_NAMESPACE_SETTING) == namespace:
        unless_set("spark.kubernetes.driver.pod.name", environ.get(NAME))

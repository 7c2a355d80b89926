"""Kernels whose executors are pods: what Spark asks of Kubernetes, and deploy/kubernetes."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from deploying import DEPLOY, run
from kernels import SHORT_LIVED, RunningKernel, System, running, wait_until
from kubeapi import (
    VERSION,
    ApiServer,
    Recorder,
    Thing,
    api_server,
    make_certificate,
    node,
    recorder,
)

from jupyterlab_pyspark_kernels.advice import advise
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.doctor import diagnose, read_left
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.pod import tell_pod
from jupyterlab_pyspark_kernels.render import render

FOLDER = DEPLOY / "kubernetes"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
SINGLEUSER: dict[str, Any] = VALUES["singleuser"]
ACCOUNTS: list[Thing] = list(yaml.safe_load_all((FOLDER / "rbac.yaml").read_text()))
HUB, EXECUTORS = "jupyterhub", "spark"
"""The namespaces of the guide."""
IMAGE = "registry.example.org/pyspark-notebook:4.3.0"
POD_NAME = "spark.kubernetes.driver.pod.name"
POD: Thing = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "jupyter-alice", "namespace": HUB, "uid": "of-the-pod"},
    "spec": {"containers": [{"name": "notebook", "image": IMAGE}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
"""What the notebook runs in."""


def judge(thing: Thing) -> None:
    """Hold an object against the published schema, which knows every field."""
    kubernetes_validate.validate(thing, VERSION, strict=True)


def in_the_pod() -> dict[str, str]:
    """Give the variables that a notebook has in its pod: the values file's, and the hub's."""
    facts = {
        "status.podIP": "127.0.0.1",
        "metadata.name": POD["metadata"]["name"],
        "metadata.namespace": HUB,
    }
    told = {
        name: value
        if isinstance(value, str)
        else facts[value["valueFrom"]["fieldRef"]["fieldPath"]]
        for name, value in SINGLEUSER["extraEnv"].items()
    }
    return {**told, "JUPYTERHUB_USER": "alice", "JUPYTER_IMAGE": IMAGE}


@dataclass(frozen=True)
class Cluster:
    """An API server, and how somebody comes in."""

    url: str
    certificate: Path
    token: Path

    @property
    def settings(self) -> dict[str, str]:
        """What a pod would find by itself where Kubernetes mounts its account."""
        return {
            "spark.kubernetes.authenticate.caCertFile": str(self.certificate),
            "spark.kubernetes.authenticate.oauthTokenFile": str(self.token),
            "spark.driver.extraJavaOptions": SHORT_LIVED,
            # Spark waits for executors before it says that it is there, and the recorder has none.
            "spark.scheduler.maxRegisteredResourcesWaitingTime": "1s",
        }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate") / "server.pem")


@pytest.fixture(scope="module")
def api(certificate: Path) -> Iterator[Recorder]:
    pod = POD["metadata"]
    with recorder(certificate, {f"/api/v1/namespaces/{HUB}/pods/{pod['name']}": POD}) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(api: Recorder, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    token = tmp_path_factory.mktemp("account") / "token"
    token.write_text("of-alice")
    return Cluster(api.url, certificate, token)


def written(config: dict[str, object], kernels: Path) -> str:
    """Write a kernel as the form does, without any template."""
    name = str(config["name"])
    directory = kernels / name
    directory.mkdir(parents=True)
    spec = render(read_config(config), "tester")
    (directory / "kernel.json").write_text(json.dumps(spec))
    for file, content in contents().items():
        (directory / file).write_bytes(content)
    return name


@contextmanager
def notebook_of_the_form(
    environment: Path, cluster: Cluster, folder: Path, **conf: str
) -> Iterator[RunningKernel]:
    """Run a kernel that says no more than it has to, in the pod of a hub."""
    config = {
        "name": "plain",
        "environment": str(environment),
        "master": f"k8s://{cluster.url}",
        "executor_memory": "700m",
        "executor_cores": 2,
        "executor_instances": 1,
        "labels": {"team": "research"},
        "conf": {"spark.kubernetes.container.image": IMAGE, **cluster.settings, **conf},
    }
    name = written(config, folder / "kernels")
    runtime = folder / "runtime"
    runtime.mkdir()
    with running(folder / "kernels", name, runtime, {**os.environ, **in_the_pod()}) as kernel:
        yield kernel


def set_up(folder: Path, environment: Path, cluster: Cluster) -> tuple[Path, dict[str, str]]:
    """Mount the files as the hub does, and make a kernel of the template.

    Returns:
        the directory of kernels, and the variables of a notebook's pod.

    """
    files = {
        name: (Path(file["mountPath"]).name, file["data"])
        for name, file in yaml.safe_load((FOLDER / "values.yaml").read_text())["singleuser"][
            "extraFiles"
        ].items()
    }
    # What is of this machine and of no cluster.
    files["cluster"][1]["master"] = f"k8s://{cluster.url}"
    files["cluster"][1]["conf"] |= cluster.settings
    files["template"][1]["fields"]["environment"]["fixed"] = str(environment)
    templates = folder / "templates"
    templates.mkdir()
    for name, content in files.values():
        (templates / name).write_text(yaml.safe_dump(content))
    told = {
        **os.environ,
        **in_the_pod(),
        "PYSPARK_KERNELS_TEMPLATE_DIRECTORIES": str(templates),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    program = Path(sys.prefix, "bin/jupyter-pyspark-kernels")
    kernels = folder / "data/kernels"
    chosen = ["--executor-memory", "600m", "--executor-instances", "1"]
    run([program, "create", "--name", "notebook", "--template", "notebook", *chosen], told)
    assert (kernels / "notebook/kernel.json").is_file()
    return kernels, told


def wait_for_pods(api: Recorder, kernel: RunningKernel) -> None:
    """Wait until a kernel asks for executors."""

    def asked() -> bool:
        status = kernel.status()
        assert status["stage"] != "failed", status["words"]
        return bool(api.of("Pod"))

    wait_until(asked)


def variables(pod: Thing) -> dict[str, Any]:
    """Give the variables of the one container of a pod."""
    (container,) = pod["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_executors_of_the_hub_are_as_the_values_say(
    api: Recorder, cluster: Cluster, pyspark_environment: Path, tmp_path: Path
) -> None:
    kernels, told = set_up(tmp_path, pyspark_environment, cluster)
    api.created.clear()
    (tmp_path / "runtime").mkdir()
    with running(kernels, "notebook", tmp_path / "runtime", told) as kernel:
        wait_for_pods(api, kernel)
        kernel_id = kernel.value("spark.conf.get('spark.pysparkKernels.kernelId')")
        port = int(kernel.value("int(spark.conf.get('spark.driver.port'))"))
        assert kernel.value("spark.conf.get('spark.authenticate')") == "'true'"
        kernel.value("spark.stop()")
    for thing in api.created:
        judge(thing)
    (pod,) = api.of("Pod")
    assert pod["metadata"].get("namespace", EXECUTORS) == EXECUTORS
    assert not pod["metadata"].get("ownerReferences"), "an owner is of the same namespace"
    labels = pod["metadata"]["labels"]
    assert (labels["team"], labels["user"]) == ("research", "alice")
    assert repr(labels["pyspark-kernel"]) == kernel_id
    assert pod["spec"]["serviceAccountName"] == "executor"
    (container,) = pod["spec"]["containers"]
    assert container["image"] == IMAGE
    env = variables(pod)
    assert env["SPARK_DRIVER_URL"] == f"spark://CoarseGrainedScheduler@127.0.0.1:{port}"
    assert env["_SPARK_AUTH_SECRET"]
    # What may reach the driver's port: these pods, and no other.
    (rule,) = SINGLEUSER["networkPolicy"]["ingress"]
    (ports,) = rule["ports"]
    assert ports["port"] <= port <= ports["endPort"]
    (source,) = rule["from"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": EXECUTORS}
    # Spark itself cleans up when it ends.
    assert any(path.startswith(f"/api/v1/namespaces/{EXECUTORS}/pods") for path in api.deleted)
    assert api.tokens == {"Bearer of-alice"}


def test_a_kernel_of_the_form_needs_no_more_than_an_image(
    api: Recorder, cluster: Cluster, pyspark_environment: Path, tmp_path: Path
) -> None:
    api.created.clear()
    more = {
        "spark.kubernetes.executor.limit.cores": "2500m",
        "spark.kubernetes.authenticate.executor.serviceAccountName": "somebody",
    }
    with notebook_of_the_form(pyspark_environment, cluster, tmp_path, **more) as kernel:
        wait_for_pods(api, kernel)
    for thing in api.created:
        judge(thing)
    pod = api.of("Pod")[0]
    assert pod["metadata"].get("namespace", HUB) == HUB
    # So that it goes with the notebook's pod, whatever becomes of that.
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == (
        *("Pod", POD["metadata"]["name"]),
        POD["metadata"]["uid"],
    )
    assert pod["metadata"]["labels"]["team"] == "research"
    assert pod["spec"]["serviceAccountName"] == "somebody"
    (container,) = pod["spec"]["containers"]
    asked, most = container["resources"]["requests"], container["resources"]["limits"]
    assert (asked["cpu"], most["cpu"]) == ("2", "2500m")
    # With the least overhead that Spark adds.
    assert asked["memory"] == most["memory"] == "1084Mi"
    assert "@127.0.0.1:" in variables(pod)["SPARK_DRIVER_URL"]


FORBIDDEN = (
    'configmaps is forbidden: User "alice" cannot create resource "configmaps" in API group "" '
    'in the namespace "jupyterhub"'
)


@pytest.mark.parametrize(
    ("refusal", "rule", "cause"),
    [
        (
            (403, FORBIDDEN),
            "kubernetes-forbids",
            "Kubernetes does not let alice create configmaps in the namespace jupyterhub.",
        ),
        (
            (401, "Unauthorized"),
            "kubernetes-unknown-user",
            "The Kubernetes API at k8s://{url} does not know who this kernel is: it came without a "
            "token, or with one that has expired.",
        ),
    ],
)
def test_who_may_not_is_told_so(
    refusal: tuple[int, str],
    rule: str,
    cause: str,
    api: Recorder,
    cluster: Cluster,
    pyspark_environment: Path,
    tmp_path: Path,
) -> None:
    api.refusal = refusal
    try:
        with notebook_of_the_form(pyspark_environment, cluster, tmp_path) as kernel:
            status = kernel.wait_for_stage("failed")
            answer = kernel.run("spark.range(1).count()")
            found = diagnose(*read_left(kernel.status_file))
    finally:
        api.refusal = None
    assert status["cause"] == cause.format(url=cluster.url)
    assert status["cause"] in "\n".join(answer.traceback)
    # The doctor says the same, and which button helps.
    assert (found[0].rule, found[0].cause, found[0].fix) == (rule, status["cause"], status["fix"])
    assert found[0].remedy == "edit-settings"


# --- on Kubernetes' own API server ----------------------------------------------------------------


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[ApiServer]:
    """The real API with the guide's accounts and the notebook's pod; a node is played."""
    program = os.environ.get("PYSPARK_KERNELS_TEST_KUBEAPI")
    if not program:
        pytest.skip("PYSPARK_KERNELS_TEST_KUBEAPI names no program that scripts/kubeapi has built")
    with (
        tempfile.TemporaryDirectory(prefix="kubeapi-") as folder,
        api_server(program, Path(folder), certificate) as started,
    ):
        started.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HUB}})
        for thing in ACCOUNTS:
            started.make(thing)
        account = {"serviceAccountName": SINGLEUSER["serviceAccountName"]}
        started.make(
            {**POD, "metadata": {**POD["metadata"], "uid": ""}, "spec": POD["spec"] | account}
        )
        yield started


def coming_in(server: ApiServer, certificate: Path, folder: Path, token: str) -> Cluster:
    (folder / "token").write_text(token)
    return Cluster(server.url, certificate, folder / "token")


@contextmanager
def notebook_of_the_hub(
    server: ApiServer, certificate: Path, environment: Path, folder: Path
) -> Iterator[RunningKernel]:
    """Run a kernel of the guide's template on the real API, with a node."""
    token = server.token(HUB, SINGLEUSER["serviceAccountName"])
    cluster = coming_in(server, certificate, folder, token)
    kernels, told = set_up(folder, environment, cluster)
    (folder / "runtime").mkdir()
    image = {**os.environ, "PYSPARK_ENVIRONMENT": str(environment)}
    with (
        node(server, EXECUTORS, FOLDER / "image/entrypoint.sh", image, folder),
        running(kernels, "notebook", folder / "runtime", told) as kernel,
    ):
        yield kernel


def test_a_notebook_of_the_hub_works_on_the_real_api(
    server: ApiServer, certificate: Path, pyspark_environment: Path, tmp_path: Path
) -> None:
    with notebook_of_the_hub(server, certificate, pyspark_environment, tmp_path) as kernel:
        assert kernel.value("spark.range(1000).count()") == "1000"
        assert kernel.value("sc.parallelize(range(1000), 2).map(lambda x: x + 1).sum()") == "500500"
        (pod,) = server.pods(EXECUTORS)
        assert pod["spec"]["serviceAccountName"] == "executor"
        (container,) = pod["spec"]["containers"]
        assert container["image"] == IMAGE
        assert [one["metadata"]["name"] for one in server.pods(HUB)] == [POD["metadata"]["name"]]
        # Jupyter asks a kernel to end before it ends it.
        kernel.end()
        wait_until(lambda: server.pods(EXECUTORS) == [])


def test_the_real_api_refuses_who_has_no_role(
    server: ApiServer, certificate: Path, pyspark_environment: Path, tmp_path: Path
) -> None:
    cluster = coming_in(server, certificate, tmp_path, "of-bob")
    conf = {"spark.kubernetes.namespace": EXECUTORS}
    with notebook_of_the_form(pyspark_environment, cluster, tmp_path, **conf) as kernel:
        status = kernel.wait_for_stage("failed")
    words = r"Kubernetes does not let bob \w+ \w+ in the namespace spark\."
    assert re.fullmatch(words, status["cause"]), status["words"]
    assert server.pods(EXECUTORS) == []


def test_the_role_ends_at_its_namespace(
    server: ApiServer, certificate: Path, pyspark_environment: Path, tmp_path: Path
) -> None:
    account = SINGLEUSER["serviceAccountName"]
    cluster = coming_in(server, certificate, tmp_path, server.token(HUB, account))
    with notebook_of_the_form(pyspark_environment, cluster, tmp_path) as kernel:
        status = kernel.wait_for_stage("failed")
    user = f"system:serviceaccount:{HUB}:{account}"
    words = rf"Kubernetes does not let {user} \w+ \w+ in the namespace {HUB}\."
    assert re.fullmatch(words, status["cause"]), status["words"]


def test_the_real_api_knows_nobody_without_a_token(
    server: ApiServer, certificate: Path, pyspark_environment: Path, tmp_path: Path
) -> None:
    cluster = coming_in(server, certificate, tmp_path, "of-nobody")
    with notebook_of_the_form(pyspark_environment, cluster, tmp_path) as kernel:
        status = kernel.wait_for_stage("failed")
    assert status["cause"].endswith("came without a token, or with one that has expired.")


# --- what needs no Spark --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "environ", "told"),
    [
        (
            {},
            {"IP": "10.1.2.3", "NAME": "p", "NAMESPACE": "n"},
            {"spark.driver.host": "10.1.2.3", "spark.kubernetes.namespace": "n", POD_NAME: "p"},
        ),
        ({}, {"IP": "fd00::1"}, {"spark.driver.host": "[fd00::1]"}),
        # An owner of another namespace is none.
        (
            {"spark_driver_host": "mine", "spark_kubernetes_namespace": "other"},
            {"IP": "10.1.2.3", "NAME": "p", "NAMESPACE": "n"},
            {},
        ),
        ({}, {"NAME": "p"}, {}),
        ({}, {"IP": "", "NAME": "", "NAMESPACE": ""}, {}),
        ({"spark_master": "local[2]"}, {"IP": "10.1.2.3", "NAME": "p", "NAMESPACE": "n"}, {}),
    ],
)
def test_a_pod_tells_what_nobody_has_said(
    said: dict[str, str], environ: dict[str, str], told: dict[str, str]
) -> None:
    given = {"spark_master": "k8s://https://h", **said}
    system = System(**given)
    tell_pod({f"PYSPARK_KERNELS_POD_{name}": value for name, value in environ.items()}, system)
    assert system.properties == {**System(**given).properties, **told}


def test_a_kernel_without_an_image_is_advised() -> None:
    config = read_config({"name": "x", "environment": "/e", "master": "k8s://https://h"})
    (remark,) = advise(config)
    assert remark.field == "conf"
    assert "Set spark.kubernetes.container.image" in remark.message
    image = "spark.kubernetes.executor.container.image"
    assert advise(config, defaults={image: "i"}) == []
    assert advise(config.model_copy(update={"conf": {image: "i"}})) == []


def test_a_launcher_says_that_there_is_no_image() -> None:
    line = "org.apache.spark.SparkException: Must specify the executor container image"
    (found,) = diagnose({"stage": "failed", "words": "x"}, line)
    assert found.rule == "kubernetes-no-image"


@pytest.mark.parametrize("thing", ACCOUNTS, ids=lambda thing: thing["kind"])
def test_accounts_keep_to_the_published_schema(thing: Thing) -> None:
    judge(thing)


def test_the_schema_would_have_told() -> None:
    broken = {**ACCOUNTS[0], "metadata": {"name": ["x"]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        judge(broken)
    with pytest.raises(kubernetes_validate.ValidationError):
        judge({**ACCOUNTS[0], "spek": {}})


def test_accounts_of_both_files_are_the_same() -> None:
    named = {(one["kind"], one["metadata"]["name"]): one for one in ACCOUNTS}
    binding = named["RoleBinding", "pyspark"]
    (subject,) = binding["subjects"]
    account = named["ServiceAccount", SINGLEUSER["serviceAccountName"]]["metadata"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert account["namespace"] != EXECUTORS, "whoever makes pods reads the namespace's secrets"
    conf = SINGLEUSER["extraFiles"]["cluster"]["data"]["conf"]
    executor = conf["spark.kubernetes.authenticate.executor.serviceAccountName"]
    assert named["ServiceAccount", executor]["automountServiceAccountToken"] is False
    for kind in ("Role", "RoleBinding"):
        assert named[kind, "pyspark"]["metadata"]["namespace"] == EXECUTORS
    assert conf["spark.kubernetes.namespace"] == named["Namespace", EXECUTORS]["metadata"]["name"]


def test_what_the_hub_makes_of_the_values_keeps_to_the_published_schema() -> None:
    policy = SINGLEUSER["networkPolicy"]
    judge(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "singleuser"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], **policy},
        }
    )
    env = [
        {"name": name, **(value if isinstance(value, dict) else {"value": value})}
        for name, value in SINGLEUSER["extraEnv"].items()
    ]
    image = "{name}:{tag}".format(**SINGLEUSER["image"])
    container = {"name": "notebook", "image": image, "env": env}
    account = SINGLEUSER["serviceAccountName"]
    spec = {"containers": [container], "serviceAccountName": account}
    judge({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})


def test_the_ports_of_the_policy_are_those_of_the_drivers() -> None:
    (rule,) = SINGLEUSER["networkPolicy"]["ingress"]
    (ports,) = rule["ports"]
    driver = SINGLEUSER["extraFiles"]["cluster"]["data"]["driver"]
    assert driver["ports"] == f"{ports['port']}-{ports['endPort']}"


def merged(under: Any, over: Any) -> Any:
    """Lay values over those of a chart, as Helm does."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{key: merged(under.get(key), value) for key, value in over.items()}}


def test_values_keep_to_the_schema_of_the_chart() -> None:
    """The chart is in no registry that the tests ask, so somebody who has it says where."""
    folder = os.environ.get("PYSPARK_KERNELS_TEST_Z2JH")
    if not folder:
        pytest.skip("PYSPARK_KERNELS_TEST_Z2JH names no folder with Zero to JupyterHub's chart")
    defaults, schema = (
        yaml.safe_load(Path(folder, name).read_text())
        for name in ("values.yaml", "values.schema.yaml")
    )
    jsonschema.validate(merged(defaults, VALUES), schema)
    unknown = {"singleuser": {"serviceAccount": "x"}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(defaults, unknown), schema)

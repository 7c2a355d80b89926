"""Who a kernel works as and who pays for it, as Spark's own code takes it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyterlab_pyspark_kernels.advice import advise
from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.effective import effective
from jupyterlab_pyspark_kernels.errors import FieldError, Invalid
from jupyterlab_pyspark_kernels.export import export
from jupyterlab_pyspark_kernels.identity import check_identity, keytab_problem, labels_as_settings
from jupyterlab_pyspark_kernels.importing import import_text
from jupyterlab_pyspark_kernels.render import settings, submit_args

KUBERNETES = "k8s://https://127.0.0.1:1"


def kernel(**data: Any) -> KernelConfig:
    return read_config({"name": "k", "environment": "/env", **data})


def refused(**data: Any) -> list[FieldError]:
    try:
        check_identity(kernel(**data))
    except Invalid as error:
        return error.errors
    return []


@pytest.fixture
def keytab(tmp_path: Path) -> Path:
    path = tmp_path / "me.keytab"
    path.write_bytes(b"\x05\x02")
    path.chmod(0o600)
    return path


# --- what may be said ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("principal", value) for value in ("me@", "@R", "a b@R", "me@R\n", "a/b/c@R", "")),
        *(("keytab", value) for value in ("me.keytab", "/a/../b", "")),
        *(("proxy_user", value) for value in ("-x", "a b", "${USER}", "${launch.home}", "a'", "")),
        *(("queue", value) for value in ("a b", "a,b", "a'", "a\n", "")),
        *(("labels", {name: "x"}) for name in ("", "-a", "a-", "a b", "a" * 64, "A.b/c/d", "ä")),
        *(("labels", {name: "x"}) for name in ("spark-role", "app.kubernetes.io/name", "A.B/c")),
        *(("labels", {"a": value}) for value in ("", "-a", "a-", "a b", "a,b", "a:b", "a" * 64)),
        ("labels", {"a": "${HOME}"}),
        ("labels", {"a": 1}),
    ],
)
def test_bad_values_are_refused_with_field_and_remedy(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as error:
        kernel(**{field: value})
    assert [item.field for item in error.value.errors] == [field]
    assert ". " in error.value.errors[0].message


def test_what_is_right_is_taken() -> None:
    labels = {"team": "Research_1", "example.com/cost-centre": "DE.42", "a": "${launch.user}"}
    config = kernel(
        master="yarn",
        labels=labels,
        queue="root.users.me",
        proxy_user="${launch.hub_user}@REALM",
    )
    check_identity(config)
    for principal in ("me", "me@EXAMPLE.COM", "spark/host.example.com@R"):
        assert kernel(principal=principal).principal == principal


@pytest.mark.parametrize("master", ["local[1]", "spark://h:7077", "sc://h", KUBERNETES])
def test_a_queue_is_yarns(master: str) -> None:
    (error,) = refused(master=master, queue="q")
    assert error.field == "queue"
    assert f"“q” cannot be used with the master {master}" in error.message
    assert refused(master="yarn", queue="q") == []


@pytest.mark.parametrize("master", ["spark://h:7077", "sc://h", "local-cluster[1,1,1024]"])
def test_hadoop_users_are_for_masters_that_log_in(master: str, keytab: Path) -> None:
    (error,) = refused(master=master, proxy_user="alice")
    assert (error.field, "“alice”" in error.message) == ("proxy_user", True)
    errors = refused(master=master, principal="me@R", keytab=str(keytab))
    assert [error.field for error in errors] == ["principal", "keytab"]
    for other in ("yarn", KUBERNETES, "local[1]"):
        assert refused(master=other, proxy_user="alice") == []
        assert refused(master=other, principal="me@R", keytab=str(keytab)) == []


def test_a_principal_and_a_keytab_belong_together_and_to_no_proxy_user(keytab: Path) -> None:
    (error,) = refused(master="yarn", principal="me@R")
    assert (error.field, "“me@R” is said without the keytab" in error.message) == ("keytab", True)
    (error,) = refused(master="yarn", keytab=str(keytab))
    assert error.field == "principal"
    both = {"principal": "me@R", "keytab": str(keytab)}
    (error,) = refused(master="yarn", proxy_user="alice", **both)
    assert (error.field, "only one of them" in error.message) == ("proxy_user", True)


def test_a_keytab_that_others_can_read_is_refused(keytab: Path, tmp_path: Path) -> None:
    assert keytab_problem(str(keytab)) is None
    for mode in (0o640, 0o604, 0o660):
        keytab.chmod(mode)
        (error,) = refused(master="yarn", principal="me@R", keytab=str(keytab))
        assert (error.field, f"chmod 600 {keytab}" in error.message) == ("keytab", True)
    (tmp_path / "folder").mkdir(0o700)
    (error,) = refused(master="yarn", principal="me@R", keytab=str(tmp_path / "folder"))
    assert "is no file" in error.message
    config = kernel(master="yarn", principal="me@R", keytab=str(tmp_path / "not"))
    check_identity(config)
    assert [item.field for item in advise(config)] == ["keytab"]


# --- labels -------------------------------------------------------------------------------------


def test_labels_are_tags_on_yarn_and_labels_of_pods_on_kubernetes() -> None:
    labels = {"team": "research", "cost": "42"}
    on_yarn = kernel(master="yarn", labels=labels, conf={"spark.yarn.tags": "own, other"})
    assert settings(on_yarn)["spark.yarn.tags"] == "own,other,team:research,cost:42"
    assert labels_as_settings(kernel(master=KUBERNETES, labels=labels)) == {
        f"spark.kubernetes.{role}.label.{name}": value
        for role in ("driver", "executor")
        for name, value in labels.items()
    }
    assert advise(on_yarn) == []
    for master in ("local[1]", "sc://h", "spark://h:7077"):
        config = kernel(master=master, labels=labels, cores_max=1 if "spark" in master else None)
        assert labels_as_settings(config) == {}
        (remark,) = advise(config)
        assert (remark.field, "no place for labels" in remark.message) == ("labels", True)
    (remark,) = advise(kernel(master="yarn", labels={"team": "R"}))
    assert "small ones" in remark.message


def test_what_yarn_would_refuse_is_told_before() -> None:
    (error,) = refused(master="yarn", labels={"a" * 63: "b" * 63})
    assert "127 characters, and a tag of YARN at most 100" in error.message
    assert refused(master=KUBERNETES, labels={"a" * 63: "b" * 63}) == []
    many = {f"a{number}": "b" for number in range(10)}
    assert refused(master="yarn", labels=many) == []
    (error,) = refused(master="yarn", labels=many, conf={"spark.yarn.tags": "one"})
    assert "These are 11 tags" in error.message


def test_a_label_that_the_settings_say_otherwise_is_refused() -> None:
    conf = {"spark.kubernetes.executor.label.team": "other"}
    (error,) = refused(master=KUBERNETES, labels={"team": "research"}, conf=conf)
    assert (error.field, "“other”" in error.message) == ("labels", True)


def test_the_effective_configuration_says_where_it_comes_from(keytab: Path) -> None:
    config = kernel(
        master="yarn",
        principal="me@R",
        keytab=str(keytab),
        queue="q",
        labels={"team": "x"},
        secrets={"spark.my.pin": "env:PIN"},
    )
    rows = {row.key: (row.value, row.place, row.overridden) for row in effective(config).rows}
    assert rows["spark.kerberos.principal"] == ("me@R", "Kerberos principal", [])
    assert rows["spark.yarn.queue"] == ("q", "Queue", [])
    assert rows["spark.yarn.tags"] == ("team:x", "Labels", [])
    assert rows["spark.my.pin"] == ("env:PIN", "Secrets", [])


# --- in and out ---------------------------------------------------------------------------------


def test_a_line_with_an_identity_reads_back() -> None:
    config = kernel(master="yarn", proxy_user="alice", queue="q", labels={"team": "x"})
    text = export(config, None, "spark-submit").text
    assert "--proxy-user alice" in text
    found = import_text(text)
    assert (found.config["proxy_user"], found.config["queue"]) == ("alice", "q")
    assert found.config["conf"] == {"spark.yarn.tags": "team:x"}
    told = export(config, None, "spark-defaults")
    assert any("--proxy-user" in remark.message for remark in told.remarks)
    assert "alice" not in told.text


READ_BACK = """
import json
from pyspark.java_gateway import launch_gateway

jvm = launch_gateway().jvm
conf = {pair._1(): pair._2() for pair in jvm.org.apache.spark.SparkConf().getAll()}
user = jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser()
print(json.dumps([conf, user.getUserName()]))
"""


def asked(environment: Path, config: KernelConfig, code: str, *arguments: str) -> Any:
    output = subprocess.run(
        [str(environment / "bin" / "python"), "-c", code, *arguments],
        env={**os.environ, "PYSPARK_SUBMIT_ARGS": submit_args(config)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


def test_a_real_spark_conf_has_principal_keytab_and_queue(
    pyspark_environment: Path, keytab: Path
) -> None:
    config = kernel(
        master="yarn",
        principal="me@REALM",
        keytab=str(keytab),
        queue="analytics",
        labels={"team": "research"},
    )
    # spark-submit wants to know where YARN is, and asks nobody there yet.
    os_environ = {"HADOOP_CONF_DIR": str(keytab.parent)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HADOOP_CONF_DIR", os_environ["HADOOP_CONF_DIR"])
        conf, _ = asked(pyspark_environment, config, READ_BACK)
    assert conf["spark.kerberos.principal"] == "me@REALM"
    assert conf["spark.kerberos.keytab"] == str(keytab)
    assert conf["spark.yarn.queue"] == "analytics"
    assert conf["spark.yarn.tags"] == "team:research"


def test_a_real_spark_works_as_the_proxy_user(pyspark_environment: Path) -> None:
    _, user = asked(pyspark_environment, kernel(master="local[1]", proxy_user="alice"), READ_BACK)
    assert user == "alice"


LABELS_OF_PODS = """
import json, sys
from pyspark.java_gateway import launch_gateway

jvm = launch_gateway().jvm
spark = jvm.org.apache.spark


def only(package, name):
    return getattr(getattr(package, name + "$"), "MODULE$")


conf = spark.SparkConf()
conf.set("spark.kubernetes.container.image", "any")
conf.set("spark.driver.host", "127.0.0.1")
conf.set("spark.driver.port", "1")
none = only(jvm.scala, "None")
profile = only(spark.resource, "ResourceProfile").getOrCreateDefaultProfile(conf)
secret = only(spark.internal.config, "package").AUTH_SECRET_FILE()
pod = (
    spark.deploy.k8s.features.BasicExecutorFeatureStep(
        spark.deploy.k8s.KubernetesExecutorConf(conf, "app", "1", none, 0),
        spark.SecurityManager(conf, none, secret),
        profile,
    )
    .configurePod(only(spark.deploy.k8s, "SparkPod").initialPod())
    .pod()
)
print(json.dumps(dict(pod.getMetadata().getLabels())))
"""


def test_a_pod_has_the_labels(pyspark_environment: Path) -> None:
    """Spark's own code makes the pod of an executor; there is no Kubernetes here to start it."""
    labels = {"team": "Research_1", "example.com/cost-centre": "DE.42"}
    config = kernel(master=KUBERNETES, labels=labels)
    found = asked(pyspark_environment, config, LABELS_OF_PODS)
    assert labels.items() <= found.items()
    assert found["spark-role"] == "executor"

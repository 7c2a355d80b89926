"""What users of one JupyterHub see of each other's kernels, and what they may do with them.

All of it is on a real JupyterHub with its proxy; the users are users of the system, and each has a
JupyterLab that runs as them.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import Cluster, standalone_cluster
from hub import ADA, BEN, CYD, MEMBERS, NAMESPACE, Hub, Member, Session, running_hub, why_no_hub
from kernels import wait_until

WHY_NO_HUB = why_no_hub()

pytestmark = pytest.mark.skipif(WHY_NO_HUB is not None, reason=WHY_NO_HUB or "")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="in a user namespace, what belongs to the system's root belongs to nobody",
)


@pytest.fixture(scope="module")
def hub(pyspark_environment: Path) -> Iterator[Hub]:
    with running_hub(pyspark_environment) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with standalone_cluster(pyspark_environment, tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def ada(hub: Hub) -> Iterator[Session]:
    yield from with_nothing_left(hub.session(ADA))


@pytest.fixture
def ben(hub: Hub) -> Iterator[Session]:
    yield from with_nothing_left(hub.session(BEN))


@pytest.fixture
def cyd(hub: Hub) -> Iterator[Session]:
    yield from with_nothing_left(hub.session(CYD))


@pytest.fixture
def config(pyspark_environment: Path) -> dict[str, Any]:
    return {"display_name": "My Spark", "environment": str(pyspark_environment)}


@pytest.fixture
def shared(hub: Hub, ada: Session, config: dict[str, Any]) -> dict[str, Any]:
    """A kernel that Ada shares."""
    place = ada.place(hub.shared)["id"]
    status, kernel = ada.call(
        "POST", "kernels", {**config, "place": place, "display_name": "Team Spark"}
    )
    assert status == 201, kernel
    return dict(kernel)


def with_nothing_left(session: Session) -> Iterator[Session]:
    """Take away what a user made in a test."""
    yield session
    for kernel in session.kernels().values():
        if kernel["created_by"] == session.member.name:
            assert session.call("DELETE", route_of(kernel))[0] == 204


def route_of(kernel: dict[str, Any]) -> str:
    return f"kernels/{kernel['place']}/{kernel['name']}"


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Read all that lies in and beside a directory: mode, owner and content of everything."""
    found = {}
    for path in directory.parent.rglob("*"):
        status = path.lstat()
        is_open = path.is_file() and os.access(path, os.R_OK)
        content = path.read_bytes() if is_open else b""
        found[str(path)] = (status.st_mode, status.st_uid, content)
    return found


def test_an_ordinary_user_creates_a_kernel_that_only_they_see(
    hub: Hub, ada: Session, ben: Session, cyd: Session, config: dict[str, Any]
) -> None:
    status, kernel = ben.call("POST", "kernels", config)
    assert (status, kernel["place"], kernel["created_by"]) == (201, "user", BEN.name)
    assert "my-spark" in ben.kernels()
    assert "my-spark" in ben.offered()
    for other in (ada, cyd):
        assert "my-spark" not in other.kernels()
        assert "my-spark" not in other.offered()
        assert other.call("GET", route_of(kernel))[0] == 404
    assert ben.kernels()["my-spark"]["owner"] == BEN.name
    # Its files are reached by his server alone.
    logo = ben.jupyter("GET", "kernelspecs/my-spark")["resources"]["logo-64x64"]
    for session, status in ((ben, 200), (ada, 403)):
        headers = {"Authorization": f"token {session.token}"}
        assert httpx.get(location_url(ben, logo), headers=headers).status_code == status
    assert not any("my-spark" in path for path in tree(hub.shared))


def test_an_allowed_user_shares_a_kernel_that_others_run_under_their_own_names(
    hub: Hub,
    cluster: Cluster,
    ada: Session,
    ben: Session,
    cyd: Session,
    config: dict[str, Any],
) -> None:
    place = ada.place(hub.shared)
    assert (place["shared"], place["reason"]) == (True, None)
    team = {
        **config,
        "display_name": "Team Spark",
        "place": place["id"],
        "master": cluster.master,
        # Both fit on the one worker at the same time.
        "cores_max": 1,
        "executor_memory": "512m",
    }
    status, kernel = ada.call("POST", "kernels", team)
    assert (status, kernel["created_by"]) == (201, ADA.name)

    directory = hub.shared / kernel["name"]
    assert stat.S_IMODE(directory.stat().st_mode) & 0o777 == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o644}
    before = tree(directory)
    with ExitStack() as stack:
        for session in (ben, cyd):
            seen = session.kernels()[kernel["name"]]
            assert (seen["created_by"], seen["owner"]) == (ADA.name, ADA.name)
            assert seen["writable"] is False
            # It runs what Ada wants, and they are told so.
            assert seen["untrusted"] is not None
            assert kernel["name"] in session.offered()
            notebook = stack.enter_context(session.notebook(kernel["name"]))
            # The umask that nothing above has taken from: it is the one of every server here.
            umask = "[line for line in open('/proc/self/status') if line[:5] == 'Umask']"
            assert "0077" in notebook.value(umask)
            assert notebook.value("spark.range(1000).count()") == "1000"
            assert notebook.value("import getpass; getpass.getuser()") == repr(session.member.name)
            assert notebook.value("spark.sparkContext.sparkUser()") == repr(session.member.name)
            total = "spark.sparkContext.parallelize(range(9), 2).map(lambda n: n * 2).sum()"
            assert notebook.value(total) == "72"
        running = [app["user"] for app in cluster.state()["activeapps"]]
        assert sorted(running) == [BEN.name, CYD.name]
    wait_until(lambda: cluster.state()["activeapps"] == [])
    assert tree(directory) == before


@needs_root
def test_one_kernel_is_everybodys_own(
    hub: Hub,
    cluster: Cluster,
    ada: Session,
    ben: Session,
    cyd: Session,
    config: dict[str, Any],
) -> None:
    wait_until(cluster.is_free)
    asked = {
        **config,
        "display_name": "Everybody's Spark",
        "place": ada.place(hub.shared)["id"],
        "template": "everybody",
        "master": cluster.master,
        "cores_max": 1,
        "executor_memory": "512m",
    }
    status, kernel = ada.call("POST", "kernels", asked)
    assert status == 201, kernel
    directory = hub.shared / kernel["name"]
    before = tree(directory)
    assert BEN.name not in (directory / "kernel.json").read_text()
    with ExitStack() as stack:
        for session in (ben, cyd):
            name = session.member.name
            notebook = stack.enter_context(session.notebook(kernel["name"]))
            assert notebook.value("spark.range(1000).count()") == "1000"
            for code, value in {
                "spark.sparkContext.appName": f"{name} with Team Spark",
                "spark.conf.get('spark.yarn.tags')": f"team,{name}",
                "import os; os.environ['HADOOP_PROXY_USER']": name,
                # Hadoop itself has taken the proxy user, not only the variable.
                "spark._jvm.org.apache.hadoop.security.UserGroupInformation"
                ".getCurrentUser().toString()": f"{name} (auth:PROXY) via {name} (auth:SIMPLE)",
            }.items():
                assert notebook.value(code) == repr(value)
        running = {(app["name"], app["user"]) for app in cluster.state()["activeapps"]}
        both = (BEN.name, CYD.name)
        assert running == {(f"{name} with Team Spark", name) for name in both}
    assert tree(directory) == before


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (BEN, "among those who may share kernels"),
        (CYD, "is not writable for you"),
    ],
    ids=["not on the list", "not by the file system"],
)
def test_a_refused_user_gets_403_and_nothing_is_written(
    hub: Hub, shared: dict[str, Any], config: dict[str, Any], member: Member, reason: str
) -> None:
    session = hub.session(member)
    place = session.place(hub.shared)
    assert reason in place["reason"]
    status, own = session.call("POST", "kernels", config)
    assert status == 201, own
    before = tree(hub.shared)
    new = {**config, "name": "of-my-own", "display_name": "Of My Own", "place": place["id"]}
    changed = {**shared["config"], "executor_memory": "3g"}
    for verb, route, body, headers in [
        ("POST", "kernels", new, {}),
        ("POST", "kernels", {**new, "master": "local-cluster[1,1,1024]", "carry": True}, {}),
        ("POST", "preview", new, {}),
        ("PUT", route_of(shared), changed, {"If-Match": shared["etag"]}),
        ("POST", f"{route_of(shared)}/move", {"name": "renamed"}, {"If-Match": shared["etag"]}),
        ("POST", f"{route_of(own)}/move", {"place": place["id"]}, {"If-Match": own["etag"]}),
        ("DELETE", route_of(shared), None, {}),
    ]:
        status, error = session.call(verb, route, body, **headers)
        assert (status, error["errors"][0]["field"]) == (403, "place"), (verb, route, error)
        assert reason in error["message"]
    assert session.call("GET", "tasks") == (200, [])
    assert tree(hub.shared) == before
    assert session.call("DELETE", route_of(own))[0] == 204


def test_a_kernel_that_others_use_keeps_its_modes_when_it_is_edited_and_brought_back(
    hub: Hub, ada: Session, cyd: Session, shared: dict[str, Any]
) -> None:
    changed = {**shared["config"], "executor_memory": "3g"}
    assert ada.call("PUT", route_of(shared), changed, **{"If-Match": shared["etag"]})[0] == 200
    assert cyd.kernels()[shared["name"]]["config"]["executor_memory"] == "3g"
    assert ada.call("DELETE", route_of(shared))[0] == 204
    assert shared["name"] not in cyd.offered()
    assert ada.call("POST", "undo")[0] == 200
    assert shared["name"] in cyd.offered()
    directory = hub.shared / shared["name"]
    assert stat.S_IMODE(directory.stat().st_mode) & 0o777 == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o644}


def test_a_spark_ui_is_its_owners_and_whole_behind_the_hub(
    ada: Session, ben: Session, config: dict[str, Any]
) -> None:
    assert ben.call("POST", "kernels", {**config, "master": "local[1]"})[0] == 201
    with ben.notebook("my-spark") as notebook:
        assert notebook.value("spark.range(10).count()") == "10"
        (running,) = ben.jupyter("GET", "kernels")
        status, ui = ben.call("GET", f"ui/{running['id']}")
        own = f"/user/{BEN.name}/{NAMESPACE}/ui/{running['id']}/"
        assert (status, ui) == (200, {"url": own, "tracking": None})
        # What a browser sends, which has cookies and no token.
        opens = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
        scripts = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}

        def fetch(session: Session, path: str, headers: dict[str, str]) -> httpx.Response:
            return session.browser.get(location_url(ben, own + path), headers=headers)

        page = fetch(ben, "executors/", opens)
        assert (page.status_code, page.url.path) == (200, f"{own}executors/")
        links = set(re.findall(r"""(?:href|src)=["'](/[^"'?#]*)""", page.text))
        assert links
        assert all(link.startswith(own) for link in links), links
        assert {fetch(ben, link.removeprefix(own), scripts).status_code for link in links} == {200}
        (application,) = fetch(ben, "api/v1/applications", scripts).json()
        listed = f"api/v1/applications/{application['id']}/allexecutors"
        (executor,) = fetch(ben, listed, scripts).json()
        assert (executor["id"], executor["isActive"]) == ("driver", True)
        # From elsewhere, even his own browser reads nothing of it.
        assert fetch(ben, listed, {**scripts, "Sec-Fetch-Site": "cross-site"}).status_code == 403
        for headers in (opens, scripts, {"Authorization": f"token {ada.token}"}):
            answer = fetch(ada, listed, headers)
            assert answer.status_code == 403, answer.url
            assert "driver" not in answer.text
        # In her own server there is no such kernel.
        status, error = ada.call("GET", f"ui/{running['id']}/executors/")
        assert (status, error["reason"]) == (404, "missing")


def test_nobody_undoes_what_another_did(
    hub: Hub, ada: Session, ben: Session, shared: dict[str, Any], config: dict[str, Any]
) -> None:
    status, own = ben.call("POST", "kernels", config)
    assert status == 201
    assert ben.call("DELETE", route_of(own))[0] == 204
    changed = {**shared["config"], "executor_memory": "3g"}
    assert ada.call("PUT", route_of(shared), changed, **{"If-Match": shared["etag"]})[0] == 200
    # Hers is the later change.
    status, back = ben.call("POST", "undo")
    assert (status, back["name"], back["place"]) == (200, "my-spark", "user")
    status, error = ben.call("POST", f"undo?place={shared['place']}")
    assert (status, error["reason"]) == (404, "missing")
    assert ada.kernels()[shared["name"]]["config"]["executor_memory"] == "3g"
    assert ada.call("POST", "undo")[1]["config"].get("executor_memory") != "3g"


def test_nobody_sees_or_ends_the_long_work_of_another(
    ada: Session, ben: Session, config: dict[str, Any]
) -> None:
    status, task = ada.call("POST", "test", {**config, "master": "local[1]"})
    assert status == 202
    try:
        assert [one["id"] for one in ada.call("GET", "tasks")[1]] == [task["id"]]
        assert ben.call("GET", "tasks") == (200, [])
        for verb, route in [
            ("GET", f"tasks/{task['id']}"),
            ("DELETE", f"tasks/{task['id']}"),
            ("POST", f"tasks/{task['id']}/resume"),
        ]:
            assert ben.call(verb, route)[0] == 404
        assert ada.call("GET", f"tasks/{task['id']}")[1]["state"] in ("running", "done")
    finally:
        # The first time what still runs is cancelled; what has ended is forgotten.
        wait_until(lambda: ada.call("DELETE", f"tasks/{task['id']}")[0] == 404)
    assert ada.call("GET", "tasks") == (200, [])


def test_what_the_hub_refuses_never_reaches_us(
    hub: Hub, ada: Session, ben: Session, config: dict[str, Any]
) -> None:
    route = f"{ada.base}/{NAMESPACE}/kernels"
    content, kind = json.dumps(config), {"Content-Type": "application/json"}
    cookies = {"X-XSRFToken": ben.browser.cookies.get("_xsrf", path=f"/user/{BEN.name}/") or ""}
    stranger = httpx.post(route, content=content, headers=kind)
    token = httpx.post(
        route, content=content, headers={**kind, "Authorization": f"token {ben.token}"}
    )
    cookie = ben.browser.post(route, content=content, headers={**kind, **cookies})
    assert [answer.status_code for answer in (stranger, token, cookie)] == [403, 403, 403]
    assert ada.kernels() == {}


def test_a_browser_needs_its_cookies_and_their_token(ada: Session, config: dict[str, Any]) -> None:
    route = f"{ada.base}/{NAMESPACE}/kernels"
    path = f"/user/{ADA.name}"
    kind = {"Content-Type": "application/json"}
    xsrf = {"X-XSRFToken": ada.browser.cookies.get("_xsrf", path=f"{path}/") or ""}
    content = json.dumps(config)
    for wrong in ({}, {"X-XSRFToken": "0" * 8}):
        assert ada.browser.post(route, content=content, headers=kind | wrong).status_code == 403
    assert ada.kernels() == {}
    created = ada.browser.post(route, content=content, headers=kind | xsrf)
    assert created.status_code == 201, created.text
    # The address is one that the browser can follow through the proxy.
    location = created.headers["Location"]
    assert location == f"{path}/{NAMESPACE}/kernels/user/my-spark"
    assert ada.browser.get(location_url(ada, location)).json()["name"] == "my-spark"
    removed = ada.browser.delete(location_url(ada, location), headers=xsrf)
    assert removed.status_code == 204


def location_url(session: Session, location: str) -> str:
    return str(httpx.URL(session.base).copy_with(path=location))


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_the_native_kernel_keeps_its_name_everywhere(
    hub: Hub, config: dict[str, Any], member: Member
) -> None:
    session = hub.session(member)
    before = tree(hub.shared)
    for place in session.call("GET", "form")[1]["places"]:
        body = {**config, "name": "python3", "place": place["id"]}
        status, error = session.call("POST", "kernels", body)
        expected = (409, "name") if place["reason"] is None else (403, "place")
        assert (status, error["errors"][0]["field"]) == expected
    assert tree(hub.shared) == before
    assert session.call("GET", "kernels") == (200, [])


def test_who_cannot_have_kernels_of_their_own_is_told(
    pyspark_environment: Path, config: dict[str, Any]
) -> None:
    # What JupyterHub tells the users' servers when its disable_user_config is set.
    with running_hub(pyspark_environment, {"JUPYTERHUB_DISABLE_USER_CONFIG": "1"}) as hub:
        session = hub.session(ADA)
        status, error = session.call("POST", "kernels", config)
        assert (status, error["errors"][0]["field"]) == (403, "place")
        assert "Jupyter does not look for kernels" in error["message"]
        assert session.kernels() == {}
        place = session.place(hub.shared)["id"]
        assert session.call("POST", "kernels", {**config, "place": place})[0] == 201
        assert "my-spark" in session.offered()


@needs_root
def test_a_strict_hub_starts_nothing_that_others_could_change(
    pyspark_environment: Path, config: dict[str, Any]
) -> None:
    strict = {"kernel_spec_manager_class": "jupyterlab_pyspark_kernels.strict.TrustedKernels"}
    with running_hub(pyspark_environment, server=strict) as hub:
        ada, ben = hub.session(ADA), hub.session(BEN)
        # Only Ada is among those who may, and what she shares is hers to change.
        team = {**config, "display_name": "Team Spark", "place": ada.place(hub.shared)["id"]}
        assert ada.call("POST", "kernels", {**team, "master": "local[1]"})[0] == 201
        assert ben.call("POST", "kernels", config)[0] == 201
        assert {"python3", "team-spark"} <= ada.offered()
        assert ben.offered() >= {"python3", "my-spark"}
        assert "team-spark" not in ben.offered()
        assert ben.refused_start("team-spark") == ben.refused_start("no-such-kernel")
        seen = ben.kernels()
        assert f"belongs to {ADA.name}" in seen["team-spark"]["untrusted"]
        assert seen["my-spark"]["untrusted"] is None
        # Its name and its label are taken all the same.
        for again in ({"name": "team-spark"}, {"display_name": "Team Spark"}):
            assert ben.call("POST", "kernels", {**config, "display_name": "New", **again})[0] == 409
        # The administrator makes it the hub's.
        directory = hub.shared / "team-spark"
        for path in (directory, *directory.iterdir()):
            os.chown(path, 0, 0)
        assert ben.kernels()["team-spark"]["untrusted"] is None
        assert "team-spark" in ben.offered()
        with ben.notebook("team-spark") as notebook:
            assert notebook.value("spark.range(10).count()") == "10"

"""What a hub that hides what others could change still offers, and starts."""

import json
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPClientError, HTTPResponse

from jupyterlab_pyspark_kernels.handlers import NAMESPACE
from jupyterlab_pyspark_kernels.models import Kernel
from jupyterlab_pyspark_kernels.places import jupyter_places
from jupyterlab_pyspark_kernels.service import KernelService
from jupyterlab_pyspark_kernels.strict import TrustedKernels

Fetch = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"jupyterlab_pyspark_kernels": True},
            "kernel_spec_manager_class": "jupyterlab_pyspark_kernels.strict.TrustedKernels",
        }
    }


@pytest.fixture
def config(environment: Path) -> dict[str, Any]:
    return {"display_name": "My Spark", "environment": str(environment)}


@pytest.fixture
def my_spark(jp_serverapp: ServerApp, jp_data_dir: Path, config: dict[str, Any]) -> Path:
    """A kernel of the user's own."""
    service = KernelService(KernelSpecManager(), jupyter_places)
    assert isinstance(service.create(config), Kernel)
    return jp_data_dir / "kernels" / "my-spark"


async def offered(fetch: Fetch) -> dict[str, Any]:
    specs = json.loads((await fetch("api", "kernelspecs")).body)["kernelspecs"]
    return dict(specs)


async def refused(fetch: Fetch, name: str) -> int:
    """Try to start a kernel that must not start; give the status."""
    with pytest.raises(HTTPClientError) as caught:
        await fetch("api", "kernels", method="POST", body=json.dumps({"name": name}))
    return caught.value.code


def write(directory: Path, **spec: Any) -> Path:
    """Write a kernel by hand."""
    directory.mkdir(parents=True)
    content = {"display_name": directory.name, "language": "python", **spec}
    (directory / "kernel.json").write_text(json.dumps(content))
    return directory


@pytest.mark.parametrize("opened", [".", "kernel.json", "launcher.py", ".."])
async def test_a_kernel_that_others_could_change_is_neither_offered_nor_started(
    jp_fetch: Fetch, my_spark: Path, opened: str
) -> None:
    assert {"my-spark", "python3"} <= set(await offered(jp_fetch))

    path = Path(os.path.normpath(my_spark / opened))
    mode = path.stat().st_mode
    path.chmod(0o777)
    assert "my-spark" not in await offered(jp_fetch)
    assert "python3" in await offered(jp_fetch)
    for name in ("my-spark", "My-Spark"):
        assert await refused(jp_fetch, name) >= 400
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("api", "kernelspecs", name)
        assert caught.value.code == 404
    # Whoever could repair it still sees it, and why it is hidden.
    (kernel,) = json.loads((await jp_fetch(NAMESPACE, "kernels")).body)
    assert kernel["untrusted"] == f"{path} can be written to by everybody."

    path.chmod(stat.S_IMODE(mode))
    assert "my-spark" in await offered(jp_fetch)
    assert json.loads((await jp_fetch("api", "kernelspecs", "My-Spark")).body)["spec"]["argv"]


async def test_its_environment_counts_as_in_our_own_list(
    jp_fetch: Fetch, my_spark: Path, environment: Path
) -> None:
    (environment / "bin").chmod(0o777)
    assert "my-spark" not in await offered(jp_fetch)
    (kernel,) = json.loads((await jp_fetch(NAMESPACE, "kernels")).body)
    assert str(environment) in kernel["untrusted"]


async def test_a_hidden_kernel_keeps_its_name_and_its_label(
    jp_fetch: Fetch, my_spark: Path, config: dict[str, Any]
) -> None:
    my_spark.chmod(0o777)
    my_spark.rename(my_spark.with_name("My-Spark"))
    kind = {"Content-Type": "application/json"}
    for body, field in [
        ({**config, "name": "my-spark", "display_name": "Another"}, "name"),
        ({**config, "name": "another"}, "display_name"),
    ]:
        with pytest.raises(HTTPClientError) as caught:
            sent = {"method": "POST", "headers": kind, "body": json.dumps(body)}
            await jp_fetch(NAMESPACE, "kernels", **sent)
        assert caught.value.code == 409
        assert caught.value.response is not None
        assert json.loads(caught.value.response.body)["errors"][0]["field"] == field


@pytest.mark.parametrize("what", ["program", "argument", "link", "variable"])
async def test_a_kernel_of_another_kind_is_judged_by_what_it_is_started_with(
    jp_fetch: Fetch, jp_data_dir: Path, tmp_path: Path, what: str
) -> None:
    program = tmp_path / "program"
    program.touch(0o755)
    (tmp_path / "link").symlink_to(program)
    specs: dict[str, dict[str, Any]] = {
        "program": {"argv": [str(program)]},
        "argument": {"argv": ["/usr/bin/env", str(program)]},
        "link": {"argv": [str(tmp_path / "link"), "{connection_file}"]},
        "variable": {"argv": ["/usr/bin/env"], "env": {"LD_PRELOAD": str(program)}},
    }
    write(jp_data_dir / "kernels" / "other", **specs[what])
    assert "other" in await offered(jp_fetch)
    program.chmod(0o777)
    assert "other" not in await offered(jp_fetch)
    assert await refused(jp_fetch, "other") >= 400


async def test_a_program_is_looked_for_where_jupyter_looks(
    jp_fetch: Fetch, jp_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "interpreter-of-a-test"
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    write(jp_data_dir / "kernels" / "other", argv=[program.name, "{connection_file}"])
    assert "other" in await offered(jp_fetch)
    program.chmod(0o777)
    assert "other" not in await offered(jp_fetch)


async def test_a_python_of_another_kernel_is_judged_with_its_packages(
    jp_fetch: Fetch, jp_data_dir: Path, environment: Path
) -> None:
    python = str(environment / "bin" / "python")
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    write(jp_data_dir / "kernels" / "other", argv=argv)
    assert "other" in await offered(jp_fetch)
    (packages,) = environment.glob("lib/python*/site-packages")
    packages.chmod(0o777)
    assert "other" not in await offered(jp_fetch)


async def test_what_cannot_be_read_or_understood_is_hidden(
    jp_fetch: Fetch, jp_data_dir: Path
) -> None:
    kernels = jp_data_dir / "kernels"
    (write(kernels / "no-json", argv=[]) / "kernel.json").write_text("{")
    write(kernels / "odd", argv=7)
    write(kernels / "fine", argv=["python"])
    assert set(await offered(jp_fetch)) & {"no-json", "odd", "fine"} == {"fine"}


async def test_a_hidden_kernel_does_not_take_the_place_of_jupyters_own(
    jp_fetch: Fetch, jp_data_dir: Path
) -> None:
    native = (await offered(jp_fetch))["python3"]
    planted = write(jp_data_dir / "kernels" / "python3", argv=["/usr/bin/env"])
    assert (await offered(jp_fetch))["python3"]["spec"]["argv"] == ["/usr/bin/env"]
    planted.chmod(0o777)
    assert (await offered(jp_fetch))["python3"] == native
    found = json.loads((await jp_fetch("api", "kernelspecs", "python3")).body)
    assert found == native


def test_two_names_that_differ_in_case_only_are_never_confused(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    write(kernels / "odd", argv=["/usr/bin/env", "trusted"])
    write(kernels / "ODD", argv=["/usr/bin/env", "planted"]).chmod(0o777)
    specs = TrustedKernels(kernel_dirs=[str(kernels)], ensure_native_kernel=False)
    assert str(kernels / "ODD") not in specs.find_kernel_specs().values()
    assert "planted" not in json.dumps(specs.get_all_specs())
    # Which of the two Jupyter takes depends on the disk.
    with suppress(NoSuchKernel):
        assert specs.get_kernel_spec("odd").argv[1] == "trusted"


def test_the_list_is_jupyters_own_when_all_can_be_trusted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "kernels" / name, argv=[sys.executable])
    given: dict[str, Any] = {"kernel_dirs": [str(tmp_path / "kernels")]}
    for more in ({}, {"allowed_kernelspecs": {"a"}}, {"ensure_native_kernel": False}):
        ours, theirs = TrustedKernels(**given, **more), KernelSpecManager(**given, **more)
        assert ours.find_kernel_specs() == theirs.find_kernel_specs()
        assert ours.get_all_specs() == theirs.get_all_specs()
        assert ours.everything().get_all_specs() == theirs.get_all_specs()

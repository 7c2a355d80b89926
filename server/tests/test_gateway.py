"""A Jupyter Server whose kernels a gateway has: ours are told, and none is written."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.gateway.gateway_client import GatewayClient
from kernels import free_port
from tornado.httpclient import HTTPClientError, HTTPResponse

from jupyterlab_pyspark_kernels.handlers import NAMESPACE


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"jupyterlab_pyspark_kernels": True}},
        "GatewayClient": {"url": f"http://127.0.0.1:{free_port()}"},
    }


@pytest.fixture(autouse=True)
def a_gateway_for_this_test_alone() -> Any:
    """Forget the one client of this process, which the servers of other tests have made."""
    GatewayClient.clear_instance()
    yield
    GatewayClient.clear_instance()


async def test_kernels_are_created_where_the_gateway_is(
    jp_fetch: Callable[..., Awaitable[HTTPResponse]], environment: Path, tmp_path: Path
) -> None:
    form = json.loads((await jp_fetch(NAMESPACE, "form")).body)
    assert {place["reason"] for place in form["places"]} == {form["places"][0]["reason"]}
    assert "from a gateway" in form["places"][0]["reason"]
    body = json.dumps({"display_name": "k", "environment": str(environment)})
    headers = {"Content-Type": "application/json"}
    for route in ("kernels", "preview"):
        with pytest.raises(HTTPClientError) as refused:
            await jp_fetch(NAMESPACE, route, method="POST", body=body, headers=headers)
        assert refused.value.code == 403
        assert refused.value.response is not None
        error = json.loads(refused.value.response.body)
        assert (error["errors"][0]["field"], "gateway" in error["message"]) == ("place", True)
    assert json.loads((await jp_fetch(NAMESPACE, "kernels")).body) == []
    assert [path.parent.name for path in tmp_path.rglob("kernel.json")] in ([], ["echo"])

"""The Spark UI of a running kernel, at an address of this server.

The path has neither `proxy` nor `history` as a segment: Spark's scripts take the segment after
those for the id of an application, and its page of executors is empty then.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from jupyter_server_proxy.handlers import ProxyHandler, RewritableResponse
from tornado import web
from tornado.httputil import HTTPHeaders

from .errors import CannotBeDone, NotAllowed, quoted
from .handlers import NAMESPACE, RESOURCE, Handler
from .models import SparkUi
from .sparkui import Driver, driver_of, ui_address

_TO_SPARK = ("Accept-Language", "If-Modified-Since", "User-Agent")
"""Neither cookies nor tokens; nor the address of the page, which may hold one. Pages come as they
are and not compressed, as one thing in them is changed."""

_FROM_SPARK = {
    *("Content-Type", "Content-Disposition", "Content-Security-Policy"),
    *("Cache-Control", "Last-Modified", "Location", "Vary"),
}

_POLICY = "; ".join(
    [
        # The page and its scripts are of this origin, whose cookies let them in.
        "sandbox allow-scripts allow-same-origin allow-forms allow-modals allow-downloads",
        "default-src 'none'",
        # Spark 3.5 writes scripts into its pages; newer ones bring a policy that names theirs,
        # and a browser obeys both.
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    ]
)
_NO_ANSWER = (500, 599)
"""What the library answers in place of a driver that does not."""


Verb = Callable[..., Awaitable[None] | None]


async def _driver(handler: Handler, kernel: str) -> Driver:
    manager = handler.kernel_manager
    runtime = Path(manager.connection_dir)
    return await handler.call(driver_of, kernel, manager.list_kernel_ids(), runtime)


class SparkUiHandler(Handler):
    """Where the Spark UI of a kernel is."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, kernel: str) -> None:
        """Give the addresses, or say why there is none."""
        driver = await _driver(self, kernel)
        if driver.tracking is None:
            await self.call(ui_address, driver)
        url = f"{self.base_url}{NAMESPACE}/ui/{kernel}/"
        # On YARN the driver sends everybody to the link of YARN.
        self.answer(SparkUi(url=url if driver.tracking is None else None, tracking=driver.tracking))


class _ReadAndKill(ProxyHandler):
    """The library's handler without the verbs that Spark's UI does not use."""

    def _not_used(self, *_: str) -> NoReturn:
        raise web.HTTPError(405)

    head: Verb = _not_used
    put: Verb = _not_used
    patch: Verb = _not_used
    delete: Verb = _not_used


class SparkUiPathHandler(Handler, _ReadAndKill):
    """One page, file or answer of a kernel's Spark UI."""

    def check_xsrf_cookie(self) -> None:
        """Check what changes something; the library leaves it to whoever is behind it.

        A hub checks reading as well, and Spark's pages read from Spark's API without a token. What
        a browser itself says to come from this origin is let through then, and so is a page.
        """
        reads = self.request.method in ("GET", "HEAD")
        if not (reads and self.request.headers.get("Sec-Fetch-Site") == "same-origin"):
            super(ProxyHandler, self).check_xsrf_cookie()

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, kernel: str, path: str) -> None:
        """Give it, and ask in place of Spark's links that kill something."""
        driver = await _driver(self, kernel)
        if _kills(path):
            self._ask()
        else:
            await self._pass_on(driver, kernel, path)

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self, kernel: str, path: str) -> None:
        """Kill a job, a stage or a query."""
        driver = await _driver(self, kernel)
        if not _kills(path):
            self._refuse(
                NotAllowed.at("", f"Nothing of Spark's UI is killed at {quoted(path)}. Use GET.")
            )
        await self._pass_on(driver, kernel, path)

    async def _pass_on(self, driver: Driver, kernel: str, path: str) -> None:
        address, port = await self.call(ui_address, driver)
        host = f"[{address}]" if ":" in address else address
        self.proxy_base = f"{NAMESPACE}/ui/{kernel}"
        self.host_allowlist = [host]
        self.rewrite_response = lambda response: self._as_ours(response, host, port)
        self.request.query = _without_tokens(self.request.query)
        # Anything else may be passed on in pieces, around what is done to the answer.
        self.request.headers["Accept"] = "*/*"
        try:
            await self.proxy(host, port, path)
        except web.HTTPError as error:
            if error.status_code not in _NO_ANSWER:
                raise
            self._refuse(
                CannotBeDone.at(
                    "",
                    "Spark's UI does not answer. Wait until Spark is less busy, or restart the "
                    "kernel.",
                )
            )

    def proxy_request_headers(self) -> HTTPHeaders:
        """Give the headers that Spark is to see; the library adds where its links lead."""
        kept = HTTPHeaders({"Accept": "*/*"})
        for name in _TO_SPARK:
            if name in self.request.headers:
                kept[name] = self.request.headers[name]
        return kept

    def _as_ours(self, response: RewritableResponse, host: str, port: int) -> None:
        kept = HTTPHeaders()
        for name, value in response.headers.get_all():
            if name in _FROM_SPARK:
                kept.add(name, self._led(value, host, port) if name == "Location" else value)
        kept.add("Content-Security-Policy", _POLICY)
        kept["X-Content-Type-Options"] = "nosniff"
        kept["Referrer-Policy"] = "same-origin"
        response.headers = kept
        if kept.get("Content-Type", "").startswith("text/html"):
            response.body = response.body.replace(*_KILL_FORM)

    def _led(self, location: str, host: str, port: int) -> str:
        """Give where Spark leads, below its own root: the library puts ours before it."""
        parts = urlsplit(location)
        if (parts.scheme, parts.netloc) not in (("", ""), ("http", f"{host}:{port}")):
            self._refuse(
                CannotBeDone.at("", f"Spark's UI leads to {quoted(location)}. Open it there.")
            )
        path = parts.path.removeprefix(url_path_join(self.base_url, self.proxy_base))
        return urlunsplit(("", "", path, parts.query, parts.fragment))

    def _ask(self) -> None:
        """Ask whether to kill what one of Spark's links names: a link alone changes nothing."""
        nonce = secrets.token_urlsafe()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header(
            "Content-Security-Policy",
            "sandbox allow-scripts allow-same-origin; default-src 'none'; connect-src 'self'; "
            f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; "
            "frame-ancestors 'self'",
        )
        what = escape(_what_is_killed(self.request.path, self.get_query_argument("id", "?")))
        token = escape(self.xsrf_token.decode())
        self.finish(_QUESTION.format(nonce=nonce, what=what, token=token))


_QUESTION = """<!DOCTYPE html>
<html lang="en">
<title>Kill {what}?</title>
<style nonce="{nonce}">
  :root {{ color-scheme: light dark; font-family: sans-serif; }}
  body {{ margin: 2rem; }}
</style>
<h1>Kill {what}?</h1>
<p>What it has computed so far is lost.</p>
<p><button data-token="{token}">Kill {what}</button></p>
<p role="status"></p>
<script nonce="{nonce}">
  document.querySelector("button").onclick = async ({{ target }}) => {{
    target.disabled = true;
    const headers = {{ "Content-Type": "application/json", "X-XSRFToken": target.dataset.token }};
    const answer = await fetch(location.href, {{ method: "POST", headers, body: "{{}}" }});
    if (answer.ok) {{
      location.replace(answer.url);
    }} else {{
      document.querySelector("[role=status]").textContent = (await answer.json()).message;
    }}
  }};
</script>
</html>
"""


_KILL_FORM = (b'/kill/" method="POST"', b'/kill/" method="GET"')
"""Newer Sparks kill by a form, which knows nothing of Jupyter's XSRF: it leads to the question."""


def _kills(path: str) -> bool:
    # Spark kills by GET as well. No other path of its UI has the word, however it is written.
    return "kill" in path.lower()


def _what_is_killed(path: str, identity: str) -> str:
    known = {"job": "job", "stage": "stage"}
    what = next((known[part] for part in reversed(path.split("/")) if part in known), "query")
    return f"{what} {identity}"


def _without_tokens(query: str) -> str:
    """Take out of a query what logs in to this server."""
    pairs = [pair for pair in query.split("&") if pair]
    return "&".join(
        pair for pair in pairs if unquote_plus(pair.partition("=")[0]) not in ("token", "_xsrf")
    )


UI_ROUTES: dict[str, type[Handler]] = {
    "ui/{kernel}": SparkUiHandler,
    "ui/{kernel}/{path}": SparkUiPathHandler,
}
"""The routes of the Spark UI, written as in the OpenAPI file."""

"""The Spark UI of a running kernel, at an address of this server.

The path has neither `proxy` nor `history` as a segment: Spark's scripts take the segment after
those for the id of an application, and its page of executors is empty then.
"""

from __future__ import annotations

import secrets
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from .errors import CannotBeDone, NotAllowed, quoted
from .handlers import NAMESPACE, RESOURCE, Handler, explanation
from .models import SparkUi
from .sparkui import Driver, driver_of, ui_address

_TO_SPARK = ("Accept-Language", "If-Modified-Since", "User-Agent")
"""Neither cookies nor tokens; nor the address of the page, which may hold one. Pages come as they
are and not compressed, as one thing in them is changed."""

_FROM_SPARK = {
    *("Content-Disposition", "Content-Security-Policy"),
    *("Cache-Control", "Last-Modified", "Vary"),
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
        # One would outlive the kernel.
        "worker-src 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    ]
)
_CONNECT_SECONDS = 20
_ANSWER_SECONDS = 120


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


class SparkUiPathHandler(Handler):
    """One page, file or answer of a kernel's Spark UI."""

    def check_xsrf_cookie(self) -> None:
        """Check what changes something, and what another page might read.

        A hub checks reading as well, and Spark's pages read from Spark's API without a token. What
        a browser itself says to come from this origin is let through then, and so is a page.
        """
        reads = self.request.method in ("GET", "HEAD")
        if not (reads and self.request.headers.get("Sec-Fetch-Site") == "same-origin"):
            super().check_xsrf_cookie()

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, kernel: str, path: str) -> None:
        """Give it, and ask in place of Spark's links that kill something."""
        driver = await _driver(self, kernel)
        if _kills(path):
            self._ask(path)
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

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer whoever opens a page with a page, and Spark's scripts as everywhere."""
        if status_code == 405 or "text/html" not in self.request.headers.get("Accept", ""):
            super().write_error(status_code, **kwargs)
            return
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = explanation(error, self._reason)["message"]
        self._show(_PROBLEM, message=message)

    async def _pass_on(self, driver: Driver, kernel: str, path: str) -> None:
        address = await self.call(ui_address, driver)
        own = f"{self.base_url}{NAMESPACE}/ui/{kernel}"
        answer = await self._ask_spark(*address, path, own)
        if await self.call(ui_address, driver) != address:
            # Somebody else could have taken the port before Spark was asked.
            self._refuse(CannotBeDone.at("", "Spark's UI moved meanwhile. Try again."))
        self.set_status(answer.code)
        # Jupyter lets whoever has a token read from anywhere; Spark's pages are for this one place.
        for name in ("Access-Control-Allow-Origin", "Content-Security-Policy"):
            self.clear_header(name)
        for name, value in answer.headers.get_all():
            if name in _FROM_SPARK:
                self.add_header(name, value)
        self.add_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        if "Location" in answer.headers:
            self.set_header("Location", self._led(answer.headers["Location"], *address, own))
        kind = answer.headers.get("Content-Type", "application/octet-stream")
        body = answer.body.replace(*_KILL_FORM) if kind.startswith("text/html") else answer.body
        # What has no body may have no piece of one either.
        await self.finish(body or None, set_content_type=kind)

    async def _ask_spark(self, host: str, port: int, path: str, own: str) -> HTTPResponse:
        method = self.request.method or "GET"
        address = f"[{host}]" if ":" in host else host
        query = _without_tokens(self.request.query)
        # As one path, whatever is written in it.
        target = urlunsplit(("http", f"{address}:{port}", "/" + quote(path, _IN_A_PATH), query, ""))
        client = SimpleAsyncHTTPClient(force_instance=True)
        try:
            return await client.fetch(
                HTTPRequest(
                    target,
                    method,
                    self._headers_for_spark(own),
                    body=b"" if method == "POST" else None,
                    follow_redirects=False,
                    decompress_response=False,
                    connect_timeout=_CONNECT_SECONDS,
                    request_timeout=_ANSWER_SECONDS,
                ),
                raise_error=False,
            )
        except (HTTPClientError, HTTPInputError, OSError):
            self._refuse(
                CannotBeDone.at(
                    "",
                    "Spark's UI does not answer. Wait until Spark is less busy, or restart the "
                    "kernel.",
                )
            )
        finally:
            client.close()

    def _headers_for_spark(self, own: str) -> HTTPHeaders:
        """Give what Spark is to see, and where its links lead."""
        headers = HTTPHeaders({"Accept": "*/*", "X-Forwarded-Context": own})
        for name in _TO_SPARK:
            if name in self.request.headers:
                headers[name] = self.request.headers[name]
        return headers

    def _led(self, location: str, host: str, port: int, own: str) -> str:
        """Give where Spark leads, below our own address."""
        try:
            parts = urlsplit(location)
        except ValueError:
            parts = None
        if parts is None or parts[:2] not in (("", ""), ("http", f"{host}:{port}")):
            self._refuse(
                CannotBeDone.at("", f"Spark's UI leads to {quoted(location)}. Open it there.")
            )
        path = parts.path if parts.path.startswith(f"{own}/") else f"{own}/{parts.path.lstrip('/')}"
        return urlunsplit(("", "", path, parts.query, parts.fragment))

    def _ask(self, path: str) -> None:
        """Ask whether to kill what one of Spark's links names: a link alone changes nothing."""
        what = _what_is_killed(path, self.get_query_argument("id", "?"))
        self._show(_QUESTION, what=what, token=self.xsrf_token.decode())

    def _show(self, page: str, **texts: str) -> None:
        """Show a page of our own."""
        nonce = secrets.token_urlsafe()
        self.set_header(
            "Content-Security-Policy",
            "sandbox allow-scripts allow-same-origin; default-src 'none'; connect-src 'self'; "
            f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; "
            "frame-ancestors 'self'",
        )
        told = {name: escape(text) for name, text in texts.items()}
        content = (_HEAD + page).format(nonce=nonce, **told)
        self.finish(content, set_content_type="text/html; charset=utf-8")


_IN_A_PATH = "/:@!$&'()*+,;=~"
"""What a path may hold as it is."""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<style nonce="{nonce}">
  :root {{ color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }}
  body {{ max-width: 40rem; margin: 3rem auto; padding: 0 1.5rem; }}
  h1 {{ font-size: 1.4rem; font-weight: 600; }}
  p {{ overflow-wrap: anywhere; }}
  button {{ font: inherit; padding: 0.4rem 1rem; }}
</style>
"""

_PROBLEM = """<title>Spark UI</title>
<main>
  <h1>Spark&rsquo;s UI cannot be shown</h1>
  <p>{message}</p>
  <p><a href="">Try again</a></p>
</main>
</html>
"""

_QUESTION = """<title>Kill {what}?</title>
<main>
  <h1>Kill {what}?</h1>
  <p>What it has computed so far is lost.</p>
  <p><button data-token="{token}">Kill {what}</button></p>
  <p role="status"></p>
</main>
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

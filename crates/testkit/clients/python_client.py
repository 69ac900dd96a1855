"""The official Python SDK (1 or 2) or FastMCP with its own OAuth: python_client.py URL TOOL ARGUMENTS_JSON

KIND: mcp or fastmcp; BROWSER: opens a URL; CLIENT_DOCUMENT: the URL of a document that describes this client.
With FIRST and SECOND it makes that file after the first call, and a second call when this one is there."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

URL, TOOL, ARGUMENTS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


class Callback:
    """A loopback address that waits for the redirect."""

    def __init__(self):
        self.parameters = {}
        self.arrived = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"You can close this window.")
                if parts.path == "/callback":
                    outer.parameters = dict(parse_qsl(parts.query))
                    outer.arrived.set()

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/callback"

    async def open(self, url):
        self.arrived.clear()
        subprocess.Popen([os.environ["BROWSER"], url])

    async def answer(self):
        if not await asyncio.to_thread(self.arrived.wait, 60):
            raise TimeoutError("no redirect came")
        code, state = self.parameters["code"], self.parameters.get("state")
        try:
            from mcp.client.auth import AuthorizationCodeResult
        except ImportError:
            return code, state
        return AuthorizationCodeResult(code=code, state=state, iss=self.parameters.get("iss"))


class Memory:
    """Token storage that forgets."""

    def __init__(self):
        self.tokens = self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def provider():
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata

    callback = Callback()
    metadata = OAuthClientMetadata(client_name="Sallyport test client", redirect_uris=[callback.url])
    document = os.environ.get("CLIENT_DOCUMENT")
    described = {"client_metadata_url": document} if document else {}
    return OAuthClientProvider(URL, metadata, Memory(), callback.open, callback.answer, **described)


async def use(client):
    listed = await client.list_tools()
    names = [tool.name for tool in getattr(listed, "tools", listed)]
    print("tools", len(names))
    if TOOL not in names:
        raise RuntimeError("the tool is not listed")
    await call(client)
    first, second = os.environ.get("FIRST"), os.environ.get("SECOND")
    if first and second:
        open(first, "w").close()
        while not os.path.exists(second):
            await asyncio.sleep(0.1)
        await call(client)


async def call(client):
    result = await client.call_tool(TOOL, ARGUMENTS)
    print("result", result)
    if getattr(result, "is_error", getattr(result, "isError", False)):
        raise RuntimeError("the call failed")


async def fastmcp():
    from fastmcp import Client

    async with Client(URL, auth="oauth") as client:
        await use(client)


async def sdk2():
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async with create_mcp_http_client(auth=provider()) as http:
        async with Client(streamable_http_client(URL, http_client=http), mode="auto") as client:
            await use(client)


async def sdk1():
    import httpx
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with httpx.AsyncClient(auth=provider(), follow_redirects=True, timeout=30) as http:
        async with streamable_http_client(URL, http_client=http) as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                await use(session)


def main():
    if os.environ.get("KIND") == "fastmcp":
        return fastmcp()
    import mcp

    return sdk2() if hasattr(mcp, "Client") else sdk1()


asyncio.run(main())
print("DONE")

"""A server of the official Python SDK whose tools do not say which request their questions are about, so that the SDK puts
them on the session's own stream: python asks.py events|json. It prints its URL."""
import socket
import sys

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

server = FastMCP("asks", json_response=sys.argv[1] == "json")
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}}


@server.tool()
async def elicit(ctx: Context) -> str:
    answer = await ctx.session.elicit("Which number?", SCHEMA)
    return answer.model_dump_json()


@server.tool()
async def sample(ctx: Context) -> str:
    question = SamplingMessage(role="user", content=TextContent(type="text", text="Which number?"))
    answer = await ctx.session.create_message([question], max_tokens=10)
    return answer.model_dump_json()


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
uvicorn.Server(config).run(sockets=[listener])

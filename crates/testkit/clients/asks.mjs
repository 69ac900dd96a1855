// A server of the official TypeScript SDK whose tools do not say which request their questions are about, so that the SDK
// puts them on the session's own stream: node asks.mjs events|json
//
// PACKAGES: the folder with node_modules. It prints its URL.
import http from 'node:http';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { resolve } = createRequire(`${process.env.PACKAGES}/package.json`);
const load = (name) => import(pathToFileURL(resolve(name)).href.replace('/dist/cjs/', '/dist/esm/'));
const { McpServer } = await load('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = await load('@modelcontextprotocol/sdk/server/streamableHttp.js');

const enableJsonResponse = process.argv[2] === 'json';
const transports = new Map();

function asking() {
  const server = new McpServer({ name: 'asks', version: '1' });
  const text = (value) => ({ content: [{ type: 'text', text: JSON.stringify(value) }] });
  const requestedSchema = { type: 'object', properties: { number: { type: 'integer' } } };
  const question = { role: 'user', content: { type: 'text', text: 'Which number?' } };
  server.registerTool('elicit', {}, async () =>
    text(await server.server.elicitInput({ message: 'Which number?', requestedSchema })),
  );
  server.registerTool('sample', {}, async () =>
    text(await server.server.createMessage({ messages: [question], maxTokens: 10 })),
  );
  return server;
}

const listener = http.createServer(async (request, response) => {
  const id = request.headers['mcp-session-id'];
  let transport = transports.get(id);
  if (!transport && id) return response.writeHead(404).end();
  if (!transport) {
    const onsessioninitialized = (session) => transports.set(session, transport);
    const sessionIdGenerator = () => randomUUID();
    transport = new StreamableHTTPServerTransport({ sessionIdGenerator, enableJsonResponse, onsessioninitialized });
    await asking().connect(transport);
  }
  return transport.handleRequest(request, response);
});
listener.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${listener.address().port}/mcp`));

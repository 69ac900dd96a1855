// The official TypeScript clients with their own OAuth: node ts.mjs URL TOOL ARGUMENTS_JSON
//
// PACKAGES: the folder with node_modules; SDK: v1 or v2; MODE (v2): legacy, auto or pin; BROWSER: opens a URL;
// CLIENT_DOCUMENT: the URL of a document that describes this client; FIRST, SECOND: see gate.mjs.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { calls, pass } from './gate.mjs';
import { callback, finish, provider } from './oauth.mjs';

const { PACKAGES, SDK = 'v2', MODE = 'legacy', BROWSER } = process.env;
const [url, tool, json] = process.argv.slice(2);
const resolve = createRequire(`${PACKAGES}/package.json`).resolve;
// The v1 package resolves to its CommonJS build; the other one belongs to import().
const load = (name) => import(pathToFileURL(resolve(name)).href.replace('/dist/cjs/', '/dist/esm/'));

async function classes() {
  if (SDK === 'v2') return load('@modelcontextprotocol/client');
  const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
  return { Client, StreamableHTTPClientTransport };
}

const { Client, StreamableHTTPClientTransport } = await classes();
const redirect = await callback();
const auth = provider(redirect.url, (to) => {
  redirect.forget();
  spawn(BROWSER, [to.href], { stdio: 'ignore' });
});
const modes = { legacy: undefined, auto: { mode: 'auto' }, pin: { mode: { pin: '2026-07-28' } } };
const options = SDK === 'v2' && modes[MODE] ? { versionNegotiation: modes[MODE] } : {};

async function connect() {
  const client = new Client({ name: 'sallyport-test', version: '1.0.0' }, options);
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: auth });
  try {
    await client.connect(transport);
    return { client, transport };
  } catch (error) {
    if (!/unauthorized/i.test(`${error.constructor.name} ${error.message}`)) throw error;
    await finish(transport, await redirect.answer(), SDK);
    return undefined;
  }
}

const { client, transport } = (await connect()) ?? (await connect());
const { tools } = await client.listTools();
console.log('tools', tools.length);
if (!tools.some(({ name }) => name === tool)) throw new Error('the tool is not listed');
for (let call = 0; call < calls; call++) {
  if (call > 0) await pass();
  const result = await client.callTool({ name: tool, arguments: JSON.parse(json) });
  console.log('result', JSON.stringify(result));
  if (result.isError) throw new Error('the call failed');
}
await transport.terminateSession?.().catch(() => {});
await client.close();
console.log('DONE');
process.exit(0);

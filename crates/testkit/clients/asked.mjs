// The official TypeScript client calls tools that ask it something: node asked.mjs URL legacy|pin
//
// PACKAGES: the folder with node_modules.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [url, mode] = process.argv.slice(2);
const { resolve } = createRequire(`${process.env.PACKAGES}/package.json`);
const { Client, StreamableHTTPClientTransport } = await import(
  pathToFileURL(resolve('@modelcontextprotocol/client')).href
);

const capabilities = { elicitation: { form: {} }, sampling: {} };
const versionNegotiation = mode === 'pin' ? { mode: { pin: '2026-07-28' } } : undefined;
const client = new Client({ name: 'sallyport-test', version: '1.0.0' }, { capabilities, versionNegotiation });
let asked = 0;
client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { number: ++asked } }));
client.setRequestHandler('sampling/createMessage', () => {
  const content = { type: 'text', text: `number ${++asked}` };
  return { role: 'assistant', model: 'none', content };
});
await client.connect(new StreamableHTTPClientTransport(new URL(url)));

async function call(name) {
  const result = await client.callTool({ name, arguments: {} });
  const text = result.content[0]?.text ?? '';
  const number = text.match(/number\D*(\d+)/)?.[1];
  if (result.isError || !number) throw new Error(`${name}: ${JSON.stringify(result)}`);
  return number;
}

// One after the other, then as many at the same time as can wait at one server.
const numbers = [await call('elicit'), await call('sample')];
numbers.push(...(await Promise.all(['elicit', 'sample', 'elicit'].map(call))));
if (new Set(numbers).size !== 5 || asked !== 5) throw new Error(`asked ${asked} times, got ${numbers}`);
await client.close();
console.log('DONE');
process.exit(0);

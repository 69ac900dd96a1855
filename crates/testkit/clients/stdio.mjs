// Drives a stdio MCP server, such as a bridge to a remote one: node stdio.mjs TOOL ARGUMENTS_JSON -- COMMAND…
import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { calls, pass } from './gate.mjs';

const [tool, json, , command, ...rest] = process.argv.slice(2);
const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = new Map();
readline.createInterface({ input: child.stdout }).on('line', (line) => {
  let message;
  try {
    message = JSON.parse(line);
  } catch {
    return; // not a message
  }
  if (message.method === undefined) waiting.get(message.id)?.(message);
});
child.on('exit', (code) => {
  if (waiting.size > 0) {
    console.error(`the server ended with ${code}`);
    process.exit(1);
  }
});

const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
let last = 0;
function ask(method, params) {
  const id = ++last;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer to ${method}`)), 60_000);
    waiting.set(id, (message) => {
      clearTimeout(timer);
      waiting.delete(id);
      if (message.error) reject(new Error(`${method}: ${JSON.stringify(message.error)}`));
      else resolve(message.result);
    });
    send({ id, method, params });
  });
}

await ask('initialize', {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'sallyport-test', version: '1.0.0' },
});
send({ method: 'notifications/initialized' });
console.log('tools', (await ask('tools/list', {})).tools.length);
for (let call = 0; call < calls; call++) {
  if (call > 0) await pass();
  const result = await ask('tools/call', { name: tool, arguments: JSON.parse(json) });
  console.log('result', JSON.stringify(result));
  if (result.isError) process.exit(1);
}
console.log('DONE');
child.stdin.end();
setTimeout(() => child.kill(), 3000).unref();
child.on('close', () => process.exit(0));
setTimeout(() => process.exit(0), 5000);

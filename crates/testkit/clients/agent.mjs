// Agents with a language model of ours behind them log in and call a tool: node agent.mjs codex|opencode PROGRAM URL TOOL ARGUMENTS_JSON
import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { calls, pass } from './gate.mjs';
import { model } from './model.mjs';

const [kind, program, url, tool, parameters] = process.argv.slice(2);
const home = process.env.HOME;
const behind = await model({ tool, parameters, calls, between: pass });
// The model may be silent for as long as the other side waits between the calls.
const HOUR = 3_600_000;

function run(...words) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${words[0]} ended with ${code}`))));
  });
}

const agents = {
  async codex() {
    fs.mkdirSync(path.join(home, '.codex'), { recursive: true });
    const provider = `{name="stand-in",base_url="${behind.url}",wire_api="responses",stream_idle_timeout_ms=${HOUR}}`;
    // It logs in by itself when the server is added.
    await run('mcp', 'add', 'gateway', '--url', url);
    await run(
      'exec',
      '--skip-git-repo-check',
      '--dangerously-bypass-approvals-and-sandbox',
      ...['-c', 'model="stand-in"', '-c', 'model_provider="ours"', '-c', `model_providers.ours=${provider}`],
      'Call the tool.',
    );
  },
  async opencode() {
    const folder = path.join(home, '.config/opencode');
    fs.mkdirSync(folder, { recursive: true });
    const provider = {
      npm: '@ai-sdk/openai-compatible',
      options: { baseURL: behind.url, timeout: false },
      models: { 'stand-in': { name: 'Stand-in', tool_call: true } },
    };
    const settings = {
      mcp: { gateway: { type: 'remote', url, enabled: true } },
      model: 'ours/stand-in',
      provider: { ours: provider },
      autoupdate: false,
      share: 'disabled',
    };
    fs.writeFileSync(path.join(folder, 'opencode.json'), JSON.stringify(settings));
    await run('mcp', 'auth', 'gateway');
    await run('run', 'Call the tool.');
  },
};

execFileSync('git', ['init', '--quiet', '.'], { stdio: 'inherit' });
await agents[kind]();
for (const result of behind.results()) console.log('result', result);
if (behind.results().length < calls) throw new Error('the tool was not called often enough');
console.log('DONE');
process.exit(0);

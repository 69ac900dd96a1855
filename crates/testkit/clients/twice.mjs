// Runs a client that makes one call and ends, once or, with the gate of gate.mjs, twice: node twice.mjs COMMAND…
import { spawnSync } from 'node:child_process';
import { calls, pass } from './gate.mjs';

const [command, ...rest] = process.argv.slice(2);
for (let call = 0; call < calls; call++) {
  if (call > 0) await pass();
  const { status } = spawnSync(command, rest, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
console.log('DONE');

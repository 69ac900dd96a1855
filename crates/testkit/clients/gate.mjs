// Between a client's two calls: FIRST is a file to make after the first one, SECOND a file to wait for before the second.
import fs from 'node:fs';

const { FIRST, SECOND } = process.env;

/** How many calls the client is to make. */
export const calls = FIRST && SECOND ? 2 : 1;

/** Says that a call is over, and waits until the next one may be made. */
export async function pass() {
  fs.writeFileSync(FIRST, '');
  while (!fs.existsSync(SECOND)) await new Promise((resolve) => setTimeout(resolve, 100));
}

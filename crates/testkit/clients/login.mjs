// Plays a browser without JavaScript through one OAuth login: node login.mjs URL
//
// Follows redirects with a cookie jar, fills in the login form (inputs `username` and `password`, from LOGIN_USER and
// LOGIN_PASSWORD), presses the consent form's button (name `decision`, value `allow`) and delivers the last redirect to
// the client's loopback address. LOGIN_LOG names a file for one line per step; queries are left out of it, because they
// carry codes.
import http from 'node:http';
import fs from 'node:fs';

const start = process.argv.slice(2).findLast((argument) => argument.includes('://'));
const log = (line) => process.env.LOGIN_LOG && fs.appendFileSync(process.env.LOGIN_LOG, `${line}\n`);

class Jar {
  #cookies = new Map();
  take(url, lines = []) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const name = pair.slice(0, pair.indexOf('='));
      const path = attributes.find((a) => a.toLowerCase().startsWith('path='))?.slice(5) ?? '/';
      const key = `${url.origin} ${name}`;
      if (attributes.some((a) => a.toLowerCase() === 'max-age=0')) this.#cookies.delete(key);
      else this.#cookies.set(key, { origin: url.origin, path, pair });
    }
  }
  give(url) {
    const fitting = [...this.#cookies.values()].filter(
      (cookie) => cookie.origin === url.origin && url.pathname.startsWith(cookie.path),
    );
    return fitting.map((cookie) => cookie.pair).join('; ');
  }
}

const unescape = (text) =>
  text.replace(/&(amp|lt|gt|quot|#39|#x27|#34);/g, (_, name) =>
    ({ amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'", '#34': '"' })[name]);

function attributes(tag) {
  const found = {};
  for (const [, name, , double, single, bare] of tag.matchAll(
    /([a-zA-Z-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g,
  )) found[name.toLowerCase()] = unescape(double ?? single ?? bare ?? '');
  return found;
}

function forms(html) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => {
    const inputs = [...body.matchAll(/<input\b([^>]*)>/gi)].map(([, tag]) => attributes(tag));
    const buttons = [...body.matchAll(/<button\b([^>]*)>/gi)].map(([, tag]) => attributes(tag));
    return { ...attributes(head), inputs, buttons };
  });
}

// The headers are those of a navigation in a browser; fetch() would not let us say so.
function request(url, method, body, site, jar) {
  return new Promise((resolve, reject) => {
    const headers = {
      accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
      'user-agent': 'Mozilla/5.0 (login.mjs)',
      'sec-fetch-dest': 'document',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-site': site,
    };
    const cookies = jar.give(url);
    if (cookies) headers.cookie = cookies;
    if (body !== undefined) {
      headers['content-type'] = 'application/x-www-form-urlencoded';
      headers['content-length'] = Buffer.byteLength(body);
      headers.origin = url.origin;
    }
    const sent = http.request(url, { method, headers }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        jar.take(url, answer.headers['set-cookie']);
        resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(pieces).toString() });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function patiently(...step) {
  // A client may open the browser before it listens for the answer.
  for (let left = 50; ; left--) {
    try {
      return await request(...step);
    } catch (error) {
      if (error.code !== 'ECONNREFUSED' || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

function choose(html) {
  for (const form of forms(html)) {
    const fields = form.inputs.filter((input) => input.name && !['submit', 'image', 'button'].includes(input.type));
    const login = fields.some((field) => field.name === 'password');
    const consent = form.buttons.some((button) => button.name === 'decision' && button.value === 'allow');
    if (!login && !consent) continue;
    const typed = { username: process.env.LOGIN_USER, password: process.env.LOGIN_PASSWORD };
    const values = fields
      .filter((field) => !['checkbox', 'radio'].includes(field.type) || 'checked' in field || 'required' in field)
      .map((field) => [field.name, (login ? typed[field.name] : undefined) ?? field.value ?? '']);
    if (consent) values.push(['decision', 'allow']);
    return { action: form.action, body: new URLSearchParams(values).toString() };
  }
  return undefined;
}

async function main() {
  const jar = new Jar();
  let url = new URL(start);
  let [method, body, site] = ['GET', undefined, 'none'];
  for (let step = 0; step < 15; step++) {
    if (url.protocol !== 'http:') return log(`stops at ${url.protocol}`);
    const answer = await patiently(url, method, body, site, jar);
    log(`${method} ${url.origin}${url.pathname} ${answer.status}`);
    if (answer.status >= 300 && answer.status < 400 && answer.headers.location) {
      const next = new URL(answer.headers.location, url);
      if (next.origin !== url.origin) site = 'cross-site';
      if (answer.status !== 307 && answer.status !== 308) [method, body] = ['GET', undefined];
      url = next;
      continue;
    }
    const form = choose(answer.text);
    if (!form) return process.exit(answer.status < 400 ? 0 : 1);
    url = new URL(form.action || url.href, url);
    [method, body, site] = ['POST', form.body, 'same-origin'];
  }
  throw new Error('the login goes round in circles');
}

main().catch((error) => {
  log(`failed: ${error.message}`);
  process.exit(1);
});

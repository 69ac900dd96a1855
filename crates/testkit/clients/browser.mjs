// The path of a newcomer in a real browser: setup link, account, OAuth, tools/list, tools/call; and what comes later: a no,
// a device's code, the account page, log-in through an identity provider.
// node browser.mjs MCP_URL TOOL ARGUMENTS_JSON EXPECTED_TEXT
//
// PACKAGES: the folder with node_modules (playwright-core and @modelcontextprotocol/client); SETUP_LINK: as the banner
// prints it, or empty when the account exists; LOGIN_USER, LOGIN_PASSWORD; CHROMIUM: the browser's binary; PICTURES: a
// folder for screenshots of every page (light, dark, and a phone's width), or empty; IDP: the address of the provider
// `staff` (idp.mjs), which lets in the group `staff`, or empty for the newcomer's path alone.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { callback, finish, provider } from './oauth.mjs';

const { IDP, PACKAGES, SETUP_LINK, LOGIN_USER, LOGIN_PASSWORD, CHROMIUM, PICTURES } = process.env;
const [url, tool, json, expected] = process.argv.slice(2);
const { resolve } = createRequire(`${PACKAGES}/package.json`);
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { chromium } = (await load('playwright-core')).default;
const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
// The pages have to work without JavaScript.
const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
const first = page;
const complaints = [];
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
page.on('response', (answer) => answer.status() >= 400 && complaints.push(`${answer.status()} ${new URL(answer.url()).pathname}`));

async function picture(name, page = first) {
  if (!PICTURES) return;
  for (const [kind, colorScheme, width] of [['light', 'light', 1280], ['dark', 'dark', 1280], ['phone', 'light', 390]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    await page.screenshot({ path: `${PICTURES}/${name}-${kind}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function setUp() {
  await page.goto(SETUP_LINK);
  await picture('setup');
  await page.fill('input[name=username]', LOGIN_USER);
  for (const input of await page.locator('input[type=password]').all()) await input.fill(LOGIN_PASSWORD);
  await page.locator('form:has(input[type=password]) button').first().click();
  await picture('setup-done');
  // Setting up logs in; the log-in page is part of the way too.
  await context.clearCookies();
  console.log('account made');
}

async function authorize(to, redirect) {
  await page.goto(to.href);
  for (let step = 0; step < 5 && !page.url().startsWith(redirect); step++) {
    if (await page.locator('input[name=password]').count()) {
      await picture('login');
      await page.fill('input[name=username]', LOGIN_USER);
      await page.fill('input[name=password]', LOGIN_PASSWORD);
      await page.locator('form:has(input[name=password]) button').first().click();
    } else {
      await picture('consent');
      await page.click('button[name=decision][value=allow]');
    }
    await page.waitForLoadState();
  }
  console.log('allowed');
}

const origin = new URL(url).origin;
const form = (fields) => ({ method: 'POST', body: new URLSearchParams(fields) });

function expect(right, what) {
  if (!right) throw new Error(what);
}

/** Somebody presses No. */
async function deny() {
  const redirect = await callback();
  let shown;
  const auth = provider(redirect.url, (to) => void (shown = to));
  const client = new Client({ name: 'sallyport-test', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: auth });
  await client.connect(transport).catch(() => undefined);
  await page.goto(shown.href);
  await page.click('button[name=decision][value=deny]');
  const answer = await redirect.answer();
  expect(answer.get('error') === 'access_denied' && !answer.get('code'), `a no was answered with ${answer}`);
  console.log('denied');
}

/** A television asks for a code; the person types it here. Its tokens. */
async function device() {
  const grant = 'urn:ietf:params:oauth:grant-type:device_code';
  const registration = { client_name: 'Television', grant_types: [grant, 'refresh_token'], redirect_uris: [] };
  const headers = { 'content-type': 'application/json' };
  const registered = await fetch(`${origin}/register`, { method: 'POST', headers, body: JSON.stringify(registration) });
  const { client_id } = await registered.json();
  const begun = await (await fetch(`${origin}/device_authorization`, form({ client_id, resource: url }))).json();
  const poll = () => fetch(`${origin}/token`, form({ grant_type: grant, client_id, device_code: begun.device_code }));
  expect((await (await poll()).json()).error === 'authorization_pending', 'nobody has answered yet');
  await page.goto(begun.verification_uri);
  await picture('device');
  await page.fill('input[name=user_code]', begun.user_code.toLowerCase());
  await page.click('form button');
  await picture('device-confirm');
  await page.click('button[name=decision][value=allow]');
  await picture('device-done');
  const tokens = await (await poll()).json();
  expect(tokens.access_token, `no token for the device: ${JSON.stringify(tokens)}`);
  console.log('device connected');
  return () => fetch(`${origin}/token`, form({ grant_type: 'refresh_token', client_id, refresh_token: tokens.refresh_token }));
}

/** The device is removed, and then every browser signed out. */
async function account(refresh) {
  await page.goto(`${origin}/account`);
  await picture('account');
  await page.locator('li', { hasText: 'Television' }).locator('button').click();
  await page.waitForLoadState();
  expect(!(await page.innerText('main')).includes('Television'), 'the device is still there');
  expect((await refresh()).status === 400, 'the device still gets tokens');
  await page.locator('button', { hasText: 'Sign out everywhere' }).click();
  await page.waitForLoadState();
  await page.goto(`${origin}/account`);
  expect(await page.locator('input[name=password]').count(), 'somebody is still signed in');
  console.log('account page');
}

/** Logs in at the provider; the page that follows here. */
async function through(name) {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  await page.goto(`${origin}/login`);
  if (name === 'grace') await picture('login-providers', page);
  await page.locator('a', { hasText: 'Continue with' }).click();
  await page.waitForLoadState();
  for (let step = 0; step < 5 && page.url().startsWith(IDP); step++) {
    if (await page.locator('input[name=login]').count()) {
      await page.fill('input[name=login]', name);
      await page.fill('input[name=password]', 'any');
    }
    await page.locator('button[type=submit]').first().click();
    await page.waitForLoadState();
  }
  return page;
}

async function providers() {
  const front = await through('grace');
  expect((await front.innerText('main')).includes('staff:grace'), `not signed in: ${await front.innerText('main')}`);
  await picture('home-provider', front);
  const stranger = await through('mallory');
  await picture('unlisted', stranger);
  const text = await stranger.innerText('main');
  expect(text.includes('not on the list') && text.includes('mallory'), `a stranger was let in: ${text}`);
  console.log('provider');
}

async function main() {
  if (SETUP_LINK) await setUp();
  const redirect = await callback();
  let shown;
  const auth = provider(redirect.url, (to) => void (shown = to));
  const connect = async () => {
    const client = new Client({ name: 'sallyport-test', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: auth });
    return { client, transport, error: await client.connect(transport).then(() => undefined, (error) => error) };
  };
  const first = await connect();
  if (!first.error || !shown) throw new Error(`there was no challenge: ${first.error?.message}`);
  await authorize(shown, redirect.url);
  await finish(first.transport, await redirect.answer());
  const { client, error } = await connect();
  if (error) throw error;
  const { tools } = await client.listTools();
  console.log('tools', tools.map(({ name }) => name).join(' '));
  if (!tools.some(({ name }) => name === tool)) throw new Error(`${tool} is not listed`);
  const result = await client.callTool({ name: tool, arguments: JSON.parse(json) });
  console.log('result', JSON.stringify(result));
  if (result.isError || !JSON.stringify(result).includes(expected)) throw new Error('the call failed');
  await client.close();
  if (IDP) {
    await deny();
    await account(await device());
    await providers();
  }
  if (complaints.length > 0) throw new Error(`the browser complains: ${complaints.join('; ')}`);
  console.log('DONE');
}

main().then(
  () => process.exit(0),
  async (error) => {
    console.error(error, page.url().split('?')[0], await page.locator('body').innerText().catch(() => ''));
    process.exit(1);
  },
);

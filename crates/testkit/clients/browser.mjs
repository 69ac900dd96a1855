// The path of a newcomer in a real browser: setup link, account, OAuth, tools/list, tools/call.
// node browser.mjs MCP_URL TOOL ARGUMENTS_JSON EXPECTED_TEXT
//
// PACKAGES: the folder with node_modules (playwright-core and @modelcontextprotocol/client); SETUP_LINK: as the banner
// prints it, or empty when the account exists; LOGIN_USER, LOGIN_PASSWORD; CHROMIUM: the browser's binary; PICTURES: a
// folder for screenshots of every page (light, dark, and a phone's width), or empty.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { callback, finish, provider } from './oauth.mjs';

const { PACKAGES, SETUP_LINK, LOGIN_USER, LOGIN_PASSWORD, CHROMIUM, PICTURES } = process.env;
const [url, tool, json, expected] = process.argv.slice(2);
const { resolve } = createRequire(`${PACKAGES}/package.json`);
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { chromium } = (await load('playwright-core')).default;
const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
// The pages have to work without JavaScript.
const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
const complaints = [];
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
page.on('response', (answer) => answer.status() >= 400 && complaints.push(`${answer.status()} ${new URL(answer.url()).pathname}`));

async function picture(name) {
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

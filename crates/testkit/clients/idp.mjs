// A real OpenID provider to log in through: node idp.mjs PORT REDIRECT_URI
//
// PACKAGES: the folder with node_modules (oidc-provider). Everybody with any password is who they say they are.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The first line of the output says that it listens; what the library has to say goes elsewhere.
console.info = console.warn = console.error;
const [port, redirect] = process.argv.slice(2);
const { resolve } = createRequire(`${process.env.PACKAGES}/package.json`);
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')).href);

const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: 'sallyport',
      client_secret: 'secret-of-the-gateway',
      redirect_uris: [redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  // Claims of the scopes are at the userinfo endpoint, as the standard has it for codes.
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      preferred_username: id,
      email: `${id}@example.com`,
      email_verified: true,
      groups: id === 'grace' ? ['staff'] : [],
    }),
  }),
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));

// What a TypeScript MCP client needs for OAuth: a place for its credentials and a loopback address for the answer.
import http from 'node:http';

/** Listens on a free loopback port; `answer()` waits for the next redirect to `/callback`. */
export async function callback() {
  let waiting;
  let arrived;
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Done</title><p>You can close this window.</p>');
    if (url.pathname !== '/callback') return;
    arrived = url.searchParams;
    waiting?.(arrived);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/callback`,
    answer: (seconds = 60) =>
      new Promise((resolve, reject) => {
        if (arrived) return resolve(arrived);
        const timer = setTimeout(() => reject(new Error('no redirect came')), seconds * 1000);
        waiting = (parameters) => (clearTimeout(timer), resolve(parameters));
      }),
    forget: () => (arrived = undefined),
    close: () => server.close(),
  };
}

/** An OAuth client provider that keeps everything in memory; `open` shows a URL to the person. */
export function provider(redirect, open) {
  const kept = {};
  const keep = (name) => (value) => void (kept[name] = value);
  return {
    redirectUrl: redirect,
    clientMetadata: {
      client_name: 'Sallyport test client',
      redirect_uris: [redirect],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    clientMetadataUrl: process.env.CLIENT_DOCUMENT,
    state: () => crypto.randomUUID(),
    clientInformation: () => kept.client,
    saveClientInformation: keep('client'),
    tokens: () => kept.tokens,
    saveTokens: keep('tokens'),
    codeVerifier: () => kept.verifier,
    saveCodeVerifier: keep('verifier'),
    discoveryState: () => kept.discovery,
    saveDiscoveryState: keep('discovery'),
    redirectToAuthorization: open,
  };
}

/** Hands the parameters of the redirect to the transport, whichever form its version takes. */
export async function finish(transport, parameters, sdk) {
  if (sdk === 'v1') return transport.finishAuth(parameters.get('code'));
  return transport.finishAuth(parameters);
}

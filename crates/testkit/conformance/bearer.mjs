// Preloaded into the conformance suite, which has no option for headers: sends the token of CONFORMANCE_TOKEN to the
// server of CONFORMANCE_URL with every request that has no authorization of its own.
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';

const { host } = new URL(process.env.CONFORMANCE_URL);
const value = `Bearer ${process.env.CONFORMANCE_TOKEN}`;

// fetch() and undici
diagnostics.subscribe('undici:request:create', ({ request }) => {
  if (new URL(request.origin).host !== host) return;
  if (!/authorization/i.test(String(request.headers))) request.addHeader('authorization', value);
});

// node:http
const real = http.request;
http.request = (...given) => {
  const request = real(...given);
  const port = new URL(process.env.CONFORMANCE_URL).port;
  if (!request.hasHeader('authorization') && given.some((part) => String(part?.port ?? '') === port))
    request.setHeader('authorization', value);
  return request;
};

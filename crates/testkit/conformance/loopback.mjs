// Preloaded into the conformance suite, whose callback server names no address: listens on loopback alone.
import net from 'node:net';

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const names = typeof port !== 'number' || typeof rest[0] === 'string';
  return listen.call(this, names ? port : { port, host: '127.0.0.1' }, ...rest);
};

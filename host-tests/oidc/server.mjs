// Where do the tests get tokens that were not made for them? From `oidc-provider`, which is certified by the OpenID Foundation, on a
// free port of the loopback interface.
//
// It says on stdout, as one line of JSON, where it is and what its clients are called. Then it obeys lines of JSON on stdin, one
// answer a line, and ends when stdin ends: it does not outlive the test that started it.
//
//   {"do": "publish", "alg": "ES256"}   a new key stands beside the others; what is signed is signed with the old one
//   {"do": "sign"}                      from now on, tokens are signed with the newest key
//   {"do": "drop"}                      the keys that do not sign are published no more
//   {"do": "lifetime", "seconds": 5}    how long the next tokens live

import { Console } from 'node:console';
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Provider, errors } from 'oidc-provider';

// stdout is for our answers alone: the library has things to say about its defaults.
globalThis.console = new Console(process.stderr);

// A resource is what a client asks for; the audience is what it gets.
const RESOURCES = {
  'https://orders.example': { audience: 'orders-api', format: 'jwt' },
  'https://legacy.example': { audience: 'legacy-api', format: 'opaque' },
};
const SCOPES = 'orders.read orders.write';

const secret = () => randomBytes(24).toString('base64url');
const clients = [
  { name: 'caller', client_id: 'orders-client', client_secret: secret(), grant_types: ['client_credentials'], scope: SCOPES },
  {
    name: 'bound',
    client_id: 'bound-client',
    client_secret: secret(),
    grant_types: ['client_credentials'],
    scope: SCOPES,
    tls_client_certificate_bound_access_tokens: true,
  },
  // It asks about tokens and gets none. RFC 6749 §2.3.1: name and secret are form-encoded before they are joined by a colon, which
  // only characters like these show.
  { name: 'gateway', client_id: 'gateway:1', client_secret: `${secret()}+%:/& =`, grant_types: [] },
];

let keys = [];
let signing;
let lifetime = 600;
let serve;

function publish(alg) {
  const [type, options] = alg === 'RS256' ? ['rsa', { modulusLength: 2048 }] : ['ec', { namedCurve: 'P-256' }];
  const { privateKey } = generateKeyPairSync(type, options);
  const key = { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${randomBytes(6).toString('hex')}` };
  keys = [...keys, key];
  return key;
}

// The library takes its keys when it is made, so new keys make a new one; the tokens it remembers are kept by the process.
function provide(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: clients.map(({ name, ...client }) => ({
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: keys[0].alg,
      ...client,
    })),
    scopes: SCOPES.split(' '),
    cookies: { keys: [secret()] },
    ttl: { ClientCredentials: () => lifetime },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // Nothing here speaks TLS: what a proxy before a provider would tell of the client's certificate, the test tells.
        getCertificate: (ctx) => ctx.get('x-client-certificate') || undefined,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_ctx, resource) => {
          if (!Object.hasOwn(RESOURCES, resource)) throw new errors.InvalidTarget();
          const { audience, format } = RESOURCES[resource];
          const info = { scope: SCOPES, audience, accessTokenFormat: format };
          return format === 'jwt' ? { ...info, jwt: { sign: { alg: signing.alg, kid: signing.kid } } } : info;
        },
      },
    },
  });
  serve = provider.callback();
}

function obey(issuer, { do: what, alg, seconds }) {
  switch (what) {
    case 'publish': {
      const { kid } = publish(alg);
      provide(issuer);
      return { kid };
    }
    case 'sign':
      signing = keys.at(-1);
      return { kid: signing.kid };
    case 'drop':
      keys = [signing];
      provide(issuer);
      return { kid: signing.kid };
    case 'lifetime':
      lifetime = seconds;
      return {};
    default:
      throw new Error(`no such thing to do: ${what}`);
  }
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const server = createServer((request, response) => serve(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  signing = publish('RS256');
  provide(issuer);
  const named = clients.map(({ name, client_id: id, client_secret }) => [name, { id, secret: client_secret }]);
  say({ issuer, clients: Object.fromEntries(named) });
  const commands = createInterface({ input: process.stdin });
  commands.on('line', (line) => {
    try {
      say(obey(issuer, JSON.parse(line)));
    } catch (error) {
      say({ error: String(error) });
    }
  });
  commands.on('close', () => process.exit(0));
});

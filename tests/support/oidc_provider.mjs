// The OpenID Connect provider of the tests. Its only argument is a JSON object: the settings of tests/support/oidc.py.
import { Provider } from 'oidc-provider';
import { SignJWT } from 'jose';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const settings = JSON.parse(process.argv[2]);
const KINDS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

function newKeys() {
  const generation = Date.now().toString(36);
  return Object.entries(KINDS).map(([alg, generate]) => (
    { ...generate().privateKey.export({ format: 'jwk' }), kid: `${alg}-${generation}`, use: 'sig', alg }));
}

// In a file, so that the provider has the same keys after it was stopped and started.
if (!existsSync(settings.keysFile)) writeFileSync(settings.keysFile, JSON.stringify(newKeys()));
const keys = JSON.parse(readFileSync(settings.keysFile, 'utf8'));

const provider = new Provider(settings.issuer, {
  clients: [{
    client_id: settings.clientId, token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: [], response_types: [],
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
  }],
  jwks: { keys },
  ttl: { DeviceCode: settings.deviceCodeSeconds, RefreshToken: 3600 },
  features: {
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'annotate', audience: settings.audience, accessTokenTTL: settings.tokenSeconds, accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  // A refresh token that is used a second time revokes the login, as RFC 9700 recommends.
  rotateRefreshToken: true,
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims: (ctx, token) => settings.users[token.accountId],
});

// Signs whatever a test asks for with the provider's own keys: {"algorithm": ..., "claims": {...}}.
provider.use(async (ctx, next) => {
  if (ctx.path !== '/test/mint') return next();
  let body = '';
  for await (const chunk of ctx.req) body += chunk;
  const { algorithm, claims } = JSON.parse(body);
  const jwk = keys.find((key) => key.alg === algorithm);
  ctx.body = await new SignJWT(claims).setProtectedHeader({ alg: algorithm, kid: jwk.kid, typ: 'at+jwt' })
    .sign(createPrivateKey({ key: jwk, format: 'jwk' }));
});

// As Keycloak, it says how often to ask; otherwise clients ask every five seconds.
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === '/device/auth' && ctx.status === 200) ctx.body = { ...ctx.body, interval: 1 };
});

provider.listen(Number(new URL(settings.issuer).port), '127.0.0.1', () => console.log('listening'));

// Did this request come through the gateway, for just this method, host, path and query, just now?
//
// Node 20 or later, nothing to install. Put `verifier.verify(request)` before everything else that a service does; see server.mjs.

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";

const TYPE = "portcullis-assertion+jwt";
const MOST = 8192; // characters of an assertion
const LONGEST = 300; // seconds from `iat` to `exp`
const OLDEST = 86400; // seconds for which keys are believed while the gateway cannot be asked

/** Why a request is refused. The message is for the log; a client needs to know no more than 401. */
export class Refused extends Error {}

const refuse = (why) => {
  throw new Refused(why);
};

/** The gateway's public keys, from its JWKS endpoint. */
export class Keys {
  #url;
  #oldest;
  #keys = new Map();
  #read = -Infinity;
  #until = -Infinity;
  #asked = -Infinity;
  #asking;

  /** `maxAge`: for how many seconds old keys hold while the gateway cannot be asked. A key that was taken out is believed for so long. */
  constructor(url, { maxAge = OLDEST } = {}) {
    this.#url = url;
    this.#oldest = 1000 * maxAge;
    if (!(this.#oldest > 0)) throw new RangeError("maxAge: more than 0 seconds");
  }

  /** The key of that name. One that is not known is asked for, at most once a second; meanwhile who has a key goes on with it. */
  async find(kid) {
    const known = () => (clock() - this.#read < this.#oldest ? this.#keys.get(kid) : undefined);
    if (clock() < this.#until && known()) return known();
    const asks = !this.#asking && clock() - this.#asked >= 1000;
    if (asks) {
      const over = () => {
        this.#asked = clock();
        this.#asking = undefined;
      };
      this.#asking = this.#fetch().then(over, over); // If it fails, the old keys hold for a while.
    }
    if (asks || !known()) await this.#asking;
    return known();
  }

  async #fetch() {
    const asked = clock();
    const response = await fetch(this.#url, { signal: AbortSignal.timeout(2000), redirect: "error" });
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    const { keys } = await response.json();
    const age = /max-age=(\d+)/.exec(response.headers.get("cache-control") ?? "");
    this.#keys = new Map(
      keys.map((jwk) => [jwk.kid, { alg: jwk.alg, key: createPublicKey({ key: jwk, format: "jwk" }) }]),
    );
    this.#read = asked;
    this.#until = asked + 1000 * Number(age?.[1] ?? 60);
  }
}

/** Milliseconds of a clock that nobody sets. */
const clock = () => performance.now();

export class Verifier {
  /** `skew`: how many seconds the gateway's clock may differ from ours. */
  constructor({ keys, issuer, audience, header = "x-portcullis-assertion", skew = 10, now = () => Date.now() / 1000 }) {
    Object.assign(this, { keys, issuer, audience, header, skew, now });
  }

  /** The claims of the assertion that a request (`http.IncomingMessage`) carries, or `Refused`. */
  async verify(request) {
    const sent = request.headersDistinct[this.header] ?? [];
    if (sent.length !== 1) refuse("no assertion, or more than one");
    return this.check(sent[0], request.method, request.headers.host ?? "", request.url);
  }

  /** `target` is the path and the query as they came on the wire. */
  async check(assertion, method, host, target) {
    const parts = assertion.split(".");
    if (assertion.length > MOST || parts.length !== 3) refuse("no compact JWS");
    const header = json(parts[0]);
    if (header.typ !== TYPE || header.crit !== undefined) refuse("another kind of token");
    // The key says which algorithm it is for; the token only says which key.
    const found = await this.keys.find(header.kid);
    if (!found || found.alg !== header.alg) refuse("unknown key, or not of this algorithm");
    const text = Buffer.from(`${parts[0]}.${parts[1]}`);
    const key = found.alg === "ES256" ? { key: found.key, dsaEncoding: "ieee-p1363" } : found.key;
    const hash = { ES256: "sha256", EdDSA: null }[found.alg];
    if (hash === undefined || !verifySignature(hash, text, key, bytes(parts[2]))) refuse("not signed by the gateway");
    const claims = json(parts[1]);
    this.#times(claims);
    if (claims.iss !== this.issuer || claims.aud !== this.audience) refuse("of another gateway, or for another service");
    bound(claims, method, host, target);
    return claims;
  }

  #times({ iat, exp }) {
    if (!Number.isInteger(iat) || !Number.isInteger(exp) || exp - iat > LONGEST) refuse("no times, or too long a time");
    const now = this.now();
    if (now >= exp + this.skew) refuse("expired");
    if (iat > now + this.skew) refuse("of a time to come");
  }
}

function bound(claims, method, host, target) {
  const at = target.indexOf("?");
  const [path, query] = at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
  const same =
    claims.htm === method &&
    claims.authority === host.toLowerCase() &&
    claims.path === path &&
    (claims.query_hash === undefined
      ? claims.query === query
      : claims.query === undefined &&
        claims.query_hash === createHash("sha256").update(query, "latin1").digest("base64url"));
  if (!same) refuse("for another request");
}

function bytes(part) {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) refuse("not base64url");
  return Buffer.from(part, "base64url");
}

function json(part) {
  try {
    const value = JSON.parse(bytes(part).toString("utf8"));
    return value !== null && typeof value === "object" ? value : refuse("not an object");
  } catch {
    return refuse("not JSON");
  }
}

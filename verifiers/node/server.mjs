// A service that answers only what came through the gateway: node server.mjs PORT JWKS_URL ISSUER AUDIENCE [SKEW [MAX_AGE]]

import { createServer } from "node:http";
import { Keys, Refused, Verifier } from "./verifier.mjs";

const [port, url, issuer, audience, skew, maxAge] = process.argv.slice(2);
const verifier = new Verifier({ keys: new Keys(url, maxAge && { maxAge: Number(maxAge) }), issuer, audience, skew: Number(skew ?? 10) });

const server = createServer(async (request, response) => {
  try {
    const claims = await verifier.verify(request);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ sub: claims.sub ?? null, jti: claims.jti }));
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    response.writeHead(401, { "content-type": "text/plain" });
    response.end(error instanceof Refused ? error.message : "refused");
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));

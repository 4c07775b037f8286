/**
 * The object issues tokens by the Worker's own secrets, read as the Worker's configuration reads them.
 */
import { expect, test } from "vitest";

import { createKeyRing, verifyToken } from "../../protocol/resume-token.ts";
import { TokenIssuer, type StreamSecrets } from "../../durable-objects/token-issuer.ts";
import { readConfig } from "../../workers/config.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const { SSE_RESUME_SECRET: resume, HMAC_SECRET: hmac } = TEST_SECRETS;
const ROUTES = [{ name: "demo", upstream: "builtin:demo" }];

test.each<[string, StreamSecrets]>([
  ["the resume secret", { SSE_RESUME_SECRET: resume, HMAC_SECRET: hmac }],
  ["the HMAC secret where there is no other", { HMAC_SECRET: hmac }],
  ["the HMAC secret where the other is empty", { SSE_RESUME_SECRET: "", HMAC_SECRET: hmac }],
  ["the resume secret beside an empty previous one", { SSE_RESUME_SECRET: resume, SSE_RESUME_SECRET_PREVIOUS: "" }],
])("what an object signs with %s, the Worker accepts", async (_, secrets) => {
  const reading = readConfig({ ...secrets, ADMIN_TOKEN: TEST_SECRETS.ADMIN_TOKEN, ROUTES, CLIENT_AUTH: "none" });
  if (!reading.ok) throw new Error(JSON.stringify(reading.faults));
  const { settings, resumeSecret, previousResumeSecret } = reading.config;
  const identity = {
    requestId: "r",
    route: "demo",
    tenant: "default",
    correlationId: undefined,
    fingerprint: undefined,
  };
  const stream = { identity, settings, startedAtMs: 1_800_000_000_123 };
  const { token } = await new TokenIssuer(secrets).issue(stream, { epoch: 1, seq: 3 });
  const verdict = await verifyToken(await createKeyRing(resumeSecret, previousResumeSecret), token, Date.now());
  expect(verdict).toMatchObject({
    ok: true,
    claims: { requestId: "r", position: { epoch: 1, seq: 3 }, startedAtMs: 1_800_000_000_123 },
  });
});

/**
 * `npm run rotate -- --gradual`: changes the secret that signs resume tokens. The same as
 * `scripts/spillway rotate`; docs/cli.md, Key rotation.
 */
import { runProcess } from "./cli/process-host.ts";

await runProcess(["rotate", ...process.argv.slice(2)]);

/**
 * `scripts/spillway` and `npm run spillway`: operates a service over its admin API. docs/cli.md.
 */
import { runProcess } from "./process-host.ts";

await runProcess(process.argv.slice(2));

/**
 * `npm run perf:gate`: live streams, readers that are cut and come back, and rules that fail early.
 * bench/gate has all of it; docs/perf-gate.md says how to read it.
 */
import { main } from "../bench/gate/main.ts";

process.exit(await main(process.argv.slice(2)));

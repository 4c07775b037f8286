/**
 * `npm run perf:dashboard`: a static page of trends over stored results, docs/perf-dashboard.md. All of it is in
 * bench/dashboard/.
 */
import { runDashboard } from "../bench/dashboard/program.ts";

process.exitCode = runDashboard(process.argv.slice(2));

/** Results of `npm run perf:gate`. Pure. */
import { numberAt, textAt } from "../json-reading.ts";
import { measure, type KindReading, type MeasureSpec } from "../measures.ts";

const PERCENT = 100;

export function readGate(json: unknown): KindReading {
  const at = (...path: string[]) => numberAt(json, "summary", ...path);
  const percentAt = (name: string) => {
    const share = at(name);
    return share === undefined ? undefined : share * PERCENT;
  };
  const plain = { group: "Gate: memory of the service", unit: "MB", better: "less" as const };
  return {
    verdict: textAt(json, "verdict"),
    conditions: conditionsOf(json),
    // Cut short, it has seen only how it began.
    measures: isCutShort(json)
      ? []
      : [
          ...measure(latencySpec("p50"), at("resume_latency_ms", "p50")),
          ...measure(latencySpec("p95"), at("resume_latency_ms", "p95")),
          ...measure(rateSpec("resume success", 0.5, "more"), percentAt("resume_success_rate")),
          ...measure(rateSpec("trim rate", 0.1, "less"), percentAt("buffer_trim_rate")),
          ...measure(rateSpec("error rate", 0.25, "less"), percentAt("error_rate")),
          ...measure(
            {
              id: "gate-throughput",
              group: "Gate: throughput",
              label: "events received",
              unit: "events/s",
              better: "more",
              floor: 10,
              share: 0.1,
            },
            at("throughput_events_per_sec"),
          ),
          ...measure(
            { ...plain, id: "gate-memory-max", label: "most", floor: 10, share: 0.15 },
            at("memory_mb", "max"),
          ),
          ...measure(
            { ...plain, id: "gate-memory-growth", label: "growth", floor: 10, share: 0.3 },
            at("memory_growth_mb"),
          ),
        ],
  };
}

function latencySpec(percentile: string): MeasureSpec {
  const group = "Gate: resume latency";
  return {
    id: `gate-resume-${percentile}`,
    group,
    label: percentile,
    unit: "ms",
    better: "less",
    floor: 5,
    share: 0.3,
  };
}

/** Of shares only the distance says anything: from 0.1 % to 0.2 % is twice as much, and nothing. */
function rateSpec(label: string, floor: number, better: MeasureSpec["better"]): MeasureSpec {
  return { id: `gate-${label}`, group: `Gate: ${label}`, label, unit: "%", better, floor, share: 0 };
}

function isCutShort(json: unknown): boolean {
  const [wanted, run] = [numberAt(json, "options", "seconds"), numberAt(json, "seconds_run")];
  return wanted !== undefined && run !== undefined && run < wanted;
}

/** A shorter run, or one with fewer streams, says other things. */
function conditionsOf(json: unknown): string {
  const at = (name: string) => numberAt(json, "options", name);
  const parts = [
    [at("seconds"), "s"],
    [at("streams"), "streams"],
    [at("rate"), "events/s"],
  ] as const;
  const cutShare = at("cut_share");
  const url = textAt(json, "options", "url");
  const route = textAt(json, "options", "route");
  return [
    ...parts.flatMap(([value, unit]) => (value === undefined ? [] : [`${value} ${unit}`])),
    ...(cutShare === undefined ? [] : [`${cutShare * PERCENT} % cut`]),
    // Another service than its own.
    ...(url === undefined ? [] : [route === undefined ? url : `${url} ${route}`]),
  ].join(", ");
}

/** Results of `npm run bench:peers`: how many times better than each peer. Pure. */
import { listAt, member, numberAt, textAt } from "../json-reading.ts";
import { measure, type KindReading } from "../measures.ts";

export function readPeers(json: unknown): KindReading {
  const labels = new Map(listAt(json, "metrics").map((metric) => [textAt(metric, "id"), textAt(metric, "label")]));
  const rounds = numberAt(json, "rounds");
  return {
    verdict: undefined,
    conditions: [member(json, "isQuick") === true ? "quick" : "", rounds === undefined ? "" : `${rounds} rounds`]
      .filter((part) => part !== "")
      .join(", "),
    measures: listAt(json, "ratios").flatMap((ratio) => {
      const metric = textAt(ratio, "metric");
      const peer = textAt(ratio, "peer");
      // Something was missing in a run of it: it does not stand for the whole.
      if (metric === undefined || peer === undefined || member(ratio, "isFlawed") === true) return [];
      const spec = {
        id: `peers-${metric}-${peer}`,
        group: `Beside peers: ${labels.get(metric) ?? metric}`,
        label: peer,
        unit: "times as good",
        better: "more" as const,
        floor: 0.05,
        share: 0.25,
      };
      return measure(spec, numberAt(ratio, "ratio", "median"));
    }),
  };
}

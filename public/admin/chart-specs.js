// @ts-check
/**
 * Which charts there are and what they draw: pure, no canvas.
 */
import { count, duration, percent } from "./format.js";

/** @import { Point } from "./contract.d.ts" */

/** @typedef {{ label: string, of: (point: Point) => number | null }} Series */
/**
 * @typedef {object} ChartSpec
 * @property {string} title
 * @property {string} about what a point is
 * @property {readonly Series[]} series
 * @property {(value: number | null) => string} show
 * @property {readonly number[]} [marks] levels drawn across
 * @property {(min: number, max: number) => [number, number]} [scale]
 */

/** @type {readonly ChartSpec[]} */
export const CHARTS = [
  {
    title: "Streams and readers",
    about: "at the end of each minute",
    series: [
      { label: "Active streams", of: (point) => point.active_streams },
      { label: "Readers", of: (point) => point.active_readers },
    ],
    show: count,
  },
  {
    title: "Starts and ends",
    about: "streams a minute",
    series: [
      { label: "Started", of: (point) => point.streams_started },
      { label: "Ended", of: (point) => point.streams_ended },
    ],
    show: count,
  },
  {
    title: "Resume success",
    about: "of each minute’s attempts; mark: 98 %",
    series: [{ label: "Success", of: (point) => share(point.resume_successes, point.resume_attempts) }],
    show: percent,
    marks: [0.98],
    scale: (min) => [Math.min(0.9, Math.floor(min * 10) / 10), 1],
  },
  {
    title: "Resumes",
    about: "a minute",
    series: [
      { label: "Attempts", of: (point) => point.resume_attempts },
      { label: "Failures", of: (point) => point.resume_failures },
    ],
    show: count,
  },
  {
    title: "Resume latency",
    about: "until a reader has caught up",
    series: [{ label: "95th percentile", of: (point) => point.resume_latency_p95_ms }],
    show: duration,
    scale: (_, max) => [0, Math.max(10, max * 1.1)],
  },
  {
    title: "Trim rate",
    about: "of the sources’ events, lost to readers; marks: 0.3, 0.5, 1 %",
    series: [{ label: "Lost", of: (point) => share(point.lost_events, point.source_events) ?? 0 }],
    show: percent,
    marks: [0.003, 0.005, 0.01],
    scale: (_, max) => [0, Math.max(0.012, max * 1.1)],
  },
  {
    title: "Folded events",
    about: "a minute; nothing is lost by it",
    series: [{ label: "Folded", of: (point) => point.folded_events }],
    show: count,
  },
  {
    title: "Gaps",
    about: "told to readers, a minute",
    series: [{ label: "Gaps", of: (point) => point.gaps }],
    show: count,
  },
  {
    title: "Source events",
    about: "a minute, as far as streams have told",
    series: [{ label: "Events", of: (point) => point.source_events }],
    show: count,
  },
  {
    title: "Buffer fill",
    about: "the fullest shard; marks: 50, 70, 90 %",
    series: [{ label: "Fill", of: (point) => point.buffer_fill_rate }],
    show: percent,
    marks: [0.5, 0.7, 0.9],
    scale: () => [0, 1],
  },
  {
    title: "Events taken and buffered",
    about: "taken a minute, and what waits for the table",
    series: [
      { label: "Taken", of: (point) => point.events_taken },
      { label: "Buffered", of: (point) => point.buffered_events },
    ],
    show: count,
  },
  {
    title: "Flushes and commits",
    about: "a minute",
    series: [
      { label: "Flushes", of: (point) => point.flushes },
      { label: "Commits", of: (point) => point.commits },
      { label: "Failures", of: (point) => point.flush_failures + point.commit_failures },
    ],
    show: count,
  },
];

/** @param {number} part @param {number} whole */
function share(part, whole) {
  return whole === 0 ? null : part / whole;
}

/** Longest distance of two points that a line still joins. */
const JOIN_MAX_SEC = 150;

/** Times in seconds and one row of values per series; a break where no point was taken. @param {readonly Point[]} points @param {ChartSpec} spec @returns {[number[], ...(number | null)[][]]} */
export function chartData(points, { series }) {
  /** @type {number[]} */
  const times = [];
  /** @type {(number | null)[][]} */
  const rows = series.map(() => []);
  for (const point of points) {
    const sec = Date.parse(point.at) / 1000;
    const previousSec = times.at(-1);
    if (previousSec !== undefined && sec - previousSec > JOIN_MAX_SEC) {
      times.push((sec + previousSec) / 2);
      for (const row of rows) row.push(null);
    }
    times.push(sec);
    for (const [index, { of }] of series.entries()) rows[index]?.push(of(point));
  }
  return [times, ...rows];
}

/** What a chart shows, for those who do not see it. @param {readonly Point[]} points @param {ChartSpec} spec */
export function chartSummary(points, { title, about, series, show }) {
  if (points.length === 0) return `${title}, ${about}: no points yet.`;
  const parts = series.map(({ label, of }) => {
    const values = points.map(of).filter((value) => value !== null);
    if (values.length === 0) return `${label}: none`;
    const last = values.at(-1) ?? null;
    return `${label}: last ${show(last)}, least ${show(Math.min(...values))}, most ${show(Math.max(...values))}`;
  });
  return `${title}, ${about}. ${parts.join("; ")}. Points: ${points.length}.`;
}

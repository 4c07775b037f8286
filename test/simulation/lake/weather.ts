/**
 * How bad the network of the simulated lake is for a while.
 */
import { NO_FAULTS, type FaultRates } from "./network.ts";

export const CALM: FaultRates = { ...NO_FAULTS, lateAnswer: 0.05, partialDelete: 0.6 };
export const MILD: FaultRates = {
  lateAnswer: 0.1,
  failBefore: 0.02,
  failAfter: 0.02,
  timeout: 0.01,
  throttle: 0.02,
  partialDelete: 0.6,
};
export const WILD: FaultRates = {
  lateAnswer: 0.4,
  failBefore: 0.08,
  failAfter: 0.08,
  timeout: 0.08,
  throttle: 0.1,
  partialDelete: 0.5,
};

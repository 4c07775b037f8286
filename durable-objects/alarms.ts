/**
 * Named deadlines over a Durable Object's single alarm.
 *
 * Setting the alarm is billed as a row written, so it is moved only to an earlier time; woken too
 * early, the object finds nothing due and sets it again.
 */

import { earliest } from "./earliest.ts";

export interface AlarmPort {
  setAlarm(timeMs: number): Promise<void>;
}

export class Alarms {
  private setForMs: number | undefined;

  private readonly port: AlarmPort;

  constructor(port: AlarmPort) {
    this.port = port;
  }

  /** Makes sure the object is woken at the earliest of the deadlines. */
  async arm(deadlines: Readonly<Record<string, number | undefined>>): Promise<void> {
    const nextMs = earliest(Object.values(deadlines));
    if (nextMs === undefined) return;
    if (this.setForMs !== undefined && this.setForMs <= nextMs) return;
    this.setForMs = nextMs;
    try {
      await this.port.setAlarm(nextMs);
    } catch (error) {
      // Not set after all: the next call must try again.
      if (this.setForMs === nextMs) this.setForMs = undefined;
      throw error;
    }
  }

  /** The alarm has gone off: none is set any more. */
  noteFired(): void {
    this.setForMs = undefined;
  }
}

/**
 * Ends processes that a run has started, at its own exit: synchronous, and whatever state they are in.
 */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/**
 * Waiting, and not waiting for ever: the platform's timers.
 */

export async function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** What is not back in time has failed; whether it was done, only a look at its effect can tell. */
export async function within<T>(call: Promise<T>, name: string, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([call, limit]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}

/**
 * What is logged of a fault of our own: the class of the error and no more, since its message may hold
 * what a log must not.
 */
export function noteInternalError(error: unknown, requestId: string | undefined): void {
  const name = error instanceof Error ? error.name : typeof error;
  console.log(JSON.stringify({ event: "InternalError", request_id: requestId, name }));
}

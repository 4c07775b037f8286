/**
 * Puts another method in the place of one on a prototype, for the simulation alone: to watch what
 * happens inside, or to break it on purpose. Private methods are reached by name; a name that no longer
 * exists is an error, never a silent nothing.
 */
export type Method = (...args: unknown[]) => unknown;

/**
 * @param make is given the object and the original method bound to it, for each call
 * @returns what puts the original back
 */
export function replaceMethod(
  prototype: object,
  name: string,
  make: (self: object, original: Method) => Method,
): () => void {
  const original: unknown = Reflect.get(prototype, name);
  if (typeof original !== "function") throw new Error(`there is no method ${name} any more`);
  const replacement = function (this: object, ...args: unknown[]): unknown {
    const bound: Method = (...given) => Reflect.apply(original, this, given);
    return make(this, bound)(...args);
  };
  Reflect.set(prototype, name, replacement);
  return () => void Reflect.set(prototype, name, original);
}

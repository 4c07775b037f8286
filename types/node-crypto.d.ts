/**
 * The function of `node:crypto` in use, which the Workers runtime has (`nodejs_compat`) and its type package
 * has not: a digest that is fed piece by piece, without an await for each.
 */
declare module "node:crypto" {
  export interface Hash {
    update(data: string | Uint8Array): Hash;
    digest(encoding: "hex"): string;
  }
  export function createHash(algorithm: "sha256"): Hash;
}

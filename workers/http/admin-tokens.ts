/**
 * Looks a token up among those configured, without telling anything about them by the time it takes.
 *
 * Digests are compared, not tokens: all of one length, and nobody can choose how much of one is right. Each
 * lookup makes one digest and compares it with every other, byte by byte to the end, whatever was sent.
 */
export interface TokenOwner {
  readonly token: string;
  readonly actor: string;
}

/** SHA-256, unless a test counts. */
export type Digest = (text: string) => Promise<ArrayLike<number>>;

const DIGEST_BYTES = 32;
const textEncoder = new TextEncoder();

export class AdminTokens {
  private readonly owners: readonly TokenOwner[];
  private readonly digest: Digest;
  /** Made by the first lookup: a promise of one request must not be awaited by another. */
  private digests: readonly ArrayLike<number>[] | undefined;

  constructor(actorByToken: ReadonlyMap<string, string>, digest: Digest = sha256) {
    this.owners = Array.from(actorByToken, ([token, actor]) => ({ token, actor }));
    this.digest = digest;
  }

  /** @param given what was sent; nothing costs as much as something */
  async find(given: string | undefined): Promise<TokenOwner | undefined> {
    this.digests ??= await Promise.all(this.owners.map(({ token }) => this.digest(token)));
    const wanted = await this.digest(given ?? "");
    let found: TokenOwner | undefined;
    for (const [at, owner] of this.owners.entries()) {
      if (isSameDigest(this.digests[at] ?? [], wanted)) found = owner;
    }
    return found;
  }
}

/** Reads every byte of both, and decides at the end. */
function isSameDigest(left: ArrayLike<number>, right: ArrayLike<number>): boolean {
  let difference = 0;
  for (let at = 0; at < DIGEST_BYTES; at++) difference |= (left[at] ?? 256) ^ (right[at] ?? 512);
  return difference === 0;
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", textEncoder.encode(text)));
}

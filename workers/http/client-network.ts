/**
 * The network a request comes from, as one name for all that one client can send from. Pure.
 */
const IPV6_GROUPS = 8;
const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0xffff].join();
/** Groups of 16 bits that make a /64. */
const NETWORK_GROUPS = 4;

/** `cf-connecting-ip`, which Cloudflare sets, whatever the caller sent. */
export function addressOf(request: Request): string | undefined {
  return request.headers.get("cf-connecting-ip") ?? undefined;
}

/**
 * What of an address stands for one client: IPv4 as it is, IPv6 by its /64 in one spelling, `unknown` without
 * an address. What is no address stands for itself.
 */
export function networkOf(address: string): string {
  if (address === "") return "unknown";
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = "", tail = ""] = address.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: Math.max(0, IPV6_GROUPS - before.length - after.length) }, () => "0");
  const spelled = [...before, ...zeros, ...after];
  if (!spelled.slice(0, NETWORK_GROUPS).every((group) => /^[\da-f]{1,4}$/i.test(group))) return address;
  const groups = spelled.map((group) => Number.parseInt(group, 16));
  // An IPv4 address in hexadecimal: RFC 4291, 2.5.5.2.
  if (groups.slice(0, 6).join() === MAPPED_PREFIX) return groups.slice(6).flatMap(bytesOf).join(".");
  return `${groups
    .slice(0, NETWORK_GROUPS)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

function bytesOf(group: number): [number, number] {
  return [group >> 8, group & 255];
}

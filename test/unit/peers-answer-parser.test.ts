/** The producers' parser: where an answer ends on a kept connection. */
import { expect, test } from "vitest";

import { AnswerParser, type Answer } from "../../bench/peers/load/answer-parser.ts";

const KEPT = { status: 200, isKept: true };

function feedInPieces(text: string, bytes: number): (Answer | undefined)[] {
  const parser = new AnswerParser();
  const pieces = text.match(new RegExp(`[^]{1,${bytes}}`, "g")) ?? [];
  return pieces.map((piece) => parser.feed(Buffer.from(piece)));
}

const ANSWERS: readonly (readonly [string, string, Answer])[] = [
  ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", KEPT],
  ["chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", KEPT],
  ["no body", "HTTP/1.1 204 No Content\r\nx-y: z\r\n\r\n", { status: 204, isKept: true }],
  [
    "an end of the connection",
    "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    { status: 202, isKept: false },
  ],
  [
    "a word before",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    { status: 201, isKept: true },
  ],
];

test.each(ANSWERS)("an answer with %s is complete with its last byte, however it is cut", (_, text, wanted) => {
  for (const bytes of [1, 2, 7, text.length]) {
    const results = feedInPieces(text, bytes);
    expect(results.at(-1)).toEqual(wanted);
    expect(results.slice(0, -1)).toEqual(results.slice(0, -1).map(() => undefined));
  }
});

test("the next answer begins where the last ended", () => {
  const parser = new AnswerParser();
  for (const status of [200, 503]) {
    expect(parser.feed(Buffer.from(`HTTP/1.1 ${status} X\r\nContent-Length: 2\r\n\r\nok`))).toEqual({
      status,
      isKept: true,
    });
  }
});

// A typed client of Painel's API. `schema.d.ts` is made from /openapi.json by `npm run generate`.

import createClient, { type Client, type Middleware } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];
export type Painel = Client<paths>;

/** How a client is set up. */
export interface Options {
  /** Where the API is, such as https://api.painel.example. */
  baseUrl: string;
  /** The bearer token of whoever asks; asked for each request, so that it may be renewed. */
  token: () => string | Promise<string>;
  /** How often a request is sent again that may be; by default four times. */
  retries?: number;
  /** What sends requests; by default the platform's. */
  fetch?: (request: Request) => Promise<Response>;
}

/** The longest that is waited before a request is sent again, whatever the API says. */
const LONGEST_WAIT_MS = 60_000;

/**
 * A client. A read is sent again where the API is busy, or cannot be reached, after the time that `Retry-After` names; a
 * write is, where it bears an Idempotency-Key: with it, it takes effect once, however often it is sent.
 */
export function createPainel(options: Options): Painel {
  const client = createClient<paths>({
    baseUrl: options.baseUrl,
    fetch: (request) => sendPatiently(request, options.fetch ?? fetch, options.retries ?? 4),
  });
  const authorise: Middleware = {
    async onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${await options.token()}`);
      return request;
    },
  };
  client.use(authorise);
  return client;
}

/** A fresh Idempotency-Key: make one for a deed, and keep it until its answer has come. */
export function idempotencyKey(): string {
  return crypto.randomUUID();
}

/** What is wrong with each field, by its stable code: to be said in whatever language the front speaks. */
export function fieldErrors(problem: Problem): { field: string; code: string; message: string }[] {
  return (problem.errors ?? []).map(({ field, code, message }) => ({ field, code, message }));
}

async function sendPatiently(
  request: Request,
  send: (request: Request) => Promise<Response>,
  retries: number,
): Promise<Response> {
  const repeatable = request.method === "GET" || request.method === "PUT" || request.headers.has("Idempotency-Key");
  for (let tries = 0; ; tries += 1) {
    const last = !repeatable || tries >= retries;
    let wait = 2 ** tries * 250;
    try {
      const response = await send(request.clone());
      if (last || (response.status !== 429 && response.status !== 503)) return response;
      const asked = Number(response.headers.get("Retry-After"));
      if (asked > 0) wait = asked * 1000;
    } catch (error) {
      if (last) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(wait, LONGEST_WAIT_MS)));
  }
}

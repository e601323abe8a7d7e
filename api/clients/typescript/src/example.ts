// node dist/example.js: sends a command twice with one key, shows what is wrong with another, and asks every route.
//
// PAINEL_URL is where the API is, PAINEL_TOKEN an operator's token, PAINEL_IDS what routes are asked about, as JSON.

import { askAll, type Ids } from "./every-route.js";
import { createPainel, fieldErrors, idempotencyKey } from "./index.js";

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

const painel = createPainel({ baseUrl: required("PAINEL_URL"), token: () => required("PAINEL_TOKEN") });

const header = { "Idempotency-Key": idempotencyKey() };
const send = () =>
  painel.POST("/internal/operations/commands", { params: { header }, body: { command_type: "HEALTH_CHECK" } });
const [first, second] = [await send(), await send()];
const wrong = await painel.POST("/internal/operations/commands", { body: { command_type: "RESTART_AGENT" } });
const answers = await askAll(painel, JSON.parse(required("PAINEL_IDS")) as Ids);

console.log(
  JSON.stringify({
    commands: [first.data?.command_id, second.data?.command_id],
    replayed: second.response.headers.get("Idempotency-Replayed"),
    wrong: wrong.error ? fieldErrors(wrong.error) : [],
    statuses: Object.fromEntries(Object.entries(answers).map(([route, answer]) => [route, answer.response.status])),
  }),
);

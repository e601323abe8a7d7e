// Restate: a service whose server journals each invocation and its outcome. It pushes invocations to who executes them, so
// that those that are to wait are sent for a later time.
import { appendFileSync } from "node:fs";
import * as restate from "@restatedev/restate-sdk";
import { mode, note, send } from "./common.mjs";

const { PEER_PORT, PEER_INGRESS, PEER_DONE, PEER_DUE } = process.env;

if (mode === "serve") {
  const run = async (_, payload) => {
    note(payload);
    appendFileSync(PEER_DONE, ".");
  };
  const nothing = restate.service({ name: "nothing", handlers: { run } });
  restate.serve({ services: [nothing], port: Number(PEER_PORT) });
} else {
  await send(async (payload) => {
    const delay = Math.max(0, Math.round(Number(PEER_DUE) * 1000 - Date.now()));
    const answer = await fetch(`${PEER_INGRESS}/nothing/run/send?delay=${delay}ms`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(payload),
    });
    if (!answer.ok) throw new Error(await answer.text());
    await answer.arrayBuffer();
  }, 16);
}

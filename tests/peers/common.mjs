// What the peers written in JavaScript share: how they are told what to do, and how they say what came of it.
import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

// Milliseconds between two jobs whose way is timed.
const PACE = 10;
const now = () => Date.now() / 1000;

const [told, counted] = process.argv.slice(2);
export const mode = told;

// A job that says when it was sent notes how long it took to its handler.
export const note = ({ sent }) => {
  if (sent) appendFileSync(process.env.PEER_TIMES, `${now() - sent}\n`);
};

// Sends jobs by `add`, as the mode says; side by side so many at once.
export const send = async (add, sideBySide) => {
  const count = Number(counted);
  const began = performance.now();
  const share = async (jobs) => {
    for (let n = 0; n < jobs; n++) await add({});
  };
  if (mode === "one") {
    await share(count);
  } else if (mode === "many") {
    await Promise.all(Array.from({ length: sideBySide }, () => share(count / sideBySide)));
  } else {
    for (let n = 0; n < count; n++) {
      await pause(Math.max(0, began + n * PACE - performance.now()));
      await add({ sent: now() });
    }
  }
  console.log(JSON.stringify({ a_second: count / ((performance.now() - began) / 1000) }));
};

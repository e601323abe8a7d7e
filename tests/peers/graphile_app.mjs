// graphile-worker, tuned as its page on performance says: a local queue, and jobs completed in batches. With PEER_RESULTS
// each job writes a row of its outcome.
import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { makeWorkerUtils, run } from "graphile-worker";

const connectionString = process.env.PEER_POSTGRES;
const results = process.env.PEER_RESULTS === "yes";
const PACE = 10;
const now = () => Date.now() / 1000;
const report = (count, began) =>
  console.log(JSON.stringify({ a_second: count / ((performance.now() - began) / 1000) }));

const [mode, counted] = process.argv.slice(2);
const count = Number(counted);
if (mode === "serve") {
  await run({
    preset: {
      worker: {
        connectionString,
        maxPoolSize: 20,
        concurrentJobs: 24,
        pollInterval: 2000,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    taskList: {
      nothing: async (payload, helpers) => {
        if (results) await helpers.query("INSERT INTO peer_results (job) VALUES ($1)", [helpers.job.id]);
        if (payload.sent) appendFileSync(process.env.PEER_TIMES, `${now() - payload.sent}\n`);
      },
    },
    noHandleSignals: false,
  });
} else if (mode === "migrate") {
  const utils = await makeWorkerUtils({ connectionString });
  await utils.migrate();
  await utils.release();
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query("CREATE TABLE IF NOT EXISTS peer_results (job bigint PRIMARY KEY, at timestamptz DEFAULT now())");
  await client.end();
} else {
  const utils = await makeWorkerUtils({ connectionString, maxPoolSize: 16 });
  const began = performance.now();
  if (mode === "one") {
    for (let n = 0; n < count; n++) await utils.addJob("nothing", {});
  } else if (mode === "many") {
    const share = async () => {
      for (let n = 0; n < count / 16; n++) await utils.addJob("nothing", {});
    };
    await Promise.all(Array.from({ length: 16 }, share));
  } else {
    for (let n = 0; n < count; n++) {
      await pause(Math.max(0, began + n * PACE - performance.now()));
      await utils.addJob("nothing", { sent: now() });
    }
  }
  report(count, began);
  await utils.release();
}

// graphile-worker, tuned as its page on performance says: a local queue, and jobs completed in batches. With PEER_RESULTS
// each job writes a row of its outcome.
import pg from "pg";
import { makeWorkerUtils, run } from "graphile-worker";
import { mode, note, send } from "./common.mjs";

const connectionString = process.env.PEER_POSTGRES;
const results = process.env.PEER_RESULTS === "yes";

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
        note(payload);
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
  await send((payload) => utils.addJob("nothing", payload), 16);
  await utils.release();
}

// BullMQ: jobs on a Redis that keeps an append-only file.
import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Queue, Worker } from "bullmq";

const connection = { host: "127.0.0.1", port: Number(process.env.PEER_REDIS_PORT), maxRetriesPerRequest: null };
const name = process.env.PEER_QUEUE;
const PACE = 10;
const now = () => Date.now() / 1000;
const report = (count, began) =>
  console.log(JSON.stringify({ a_second: count / ((performance.now() - began) / 1000) }));

const [mode, counted] = process.argv.slice(2);
const count = Number(counted);
if (mode === "serve") {
  new Worker(
    name,
    async (job) => {
      if (job.data.sent) appendFileSync(process.env.PEER_TIMES, `${now() - job.data.sent}\n`);
    },
    { connection, concurrency: 50 },
  );
} else {
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  const began = performance.now();
  if (mode === "one") {
    for (let n = 0; n < count; n++) await queue.add("nothing", {});
  } else if (mode === "many") {
    const share = async () => {
      for (let n = 0; n < count / 64; n++) await queue.add("nothing", {});
    };
    await Promise.all(Array.from({ length: 64 }, share));
  } else {
    for (let n = 0; n < count; n++) {
      await pause(Math.max(0, began + n * PACE - performance.now()));
      await queue.add("nothing", { sent: now() });
    }
  }
  report(count, began);
  await queue.close();
}

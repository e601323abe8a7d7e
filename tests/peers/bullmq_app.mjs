// BullMQ: jobs on a Redis that keeps an append-only file.
import { Queue, Worker } from "bullmq";
import { mode, note, send } from "./common.mjs";

const connection = { host: "127.0.0.1", port: Number(process.env.PEER_REDIS_PORT), maxRetriesPerRequest: null };
const name = process.env.PEER_QUEUE;

if (mode === "serve") {
  new Worker(name, async (job) => note(job.data), { connection, concurrency: 50 });
} else {
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  await send((data) => queue.add("nothing", data), 64);
  await queue.close();
}

//! A look through a dead-letter queue.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::join_all, stream};
use painel_shared::{
    ids::JobId,
    job::Job,
    queue::{Delivery, Side},
};

use super::{BATCH, Run, Taken};
use crate::handler::HandlerError;

/// How long the dead-letter queue is waited on before it counts as empty.
const WAIT: Duration = Duration::from_secs(1);
/// How many dead letters are given back at once.
const AT_ONCE: usize = 16;

/// What came of a look.
pub(super) struct Scanned {
    pub(super) unreadable: u64,
    /// How many were given back.
    pub(super) left: u64,
    /// Whether as many were moved as were asked for.
    pub(super) full: bool,
}

/// A look under way.
#[derive(Default)]
struct Scan {
    /// What is in hand: first what stays dead, then what has still to be looked at.
    left: Vec<Delivery>,
    /// How many of them stay dead.
    looked_at: usize,
    named: Vec<JobId>,
    unreadable: u64,
    seen_again: usize,
    full: bool,
}

impl Scan {
    /// Takes deliveries in hand. A message that was in hand before, and came back because its hold ran out, takes its old
    /// place; one that nothing tells from the others cannot come back while it is in hand.
    fn add(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match self.left.iter_mut().find(|known| known.id.is_some() && known.id == delivery.id) {
                Some(known) => {
                    delivery.replace(known);
                    self.seen_again += 1;
                }
                None => self.left.push(delivery),
            }
        }
    }

    /// What has not been looked at: each one's job, where it can be read.
    fn new_jobs(&self) -> Vec<Option<Job>> {
        self.left.iter().skip(self.looked_at).map(|delivery| Job::decode(&delivery.body).ok()).collect()
    }

    /// Takes out what is done with, of what has not been looked at.
    fn sort(&mut self, verdicts: Vec<Taken>) -> Vec<Delivery> {
        let mut done = Vec::new();
        let new = self.left.split_off(self.looked_at);
        for (delivery, verdict) in new.into_iter().zip(verdicts) {
            match verdict {
                Taken::Done => {
                    done.push(delivery);
                    continue;
                }
                Taken::Left => {}
                Taken::Unreadable => self.unreadable += 1,
                Taken::Full => self.full = true,
            }
            self.left.push(delivery);
        }
        self.looked_at = self.left.len();
        done
    }
}

impl Run<'_> {
    /// Goes through the dead-letter queue once.
    pub(super) async fn move_dead_letters(&self) -> Result<Scanned, HandlerError> {
        let mut scan = Scan::default();
        let scanned = self.scan(&mut scan).await;
        let left = scan.left.len() as u64;
        // What is left is given back whatever came of the scan; a hold that has run out needs no giving back.
        stream::iter(scan.left)
            .for_each_concurrent(AT_ONCE, |delivery| async {
                if let Err(error) = delivery.release().await {
                    tracing::debug!(%error, "a dead letter was not given back; it comes back by itself");
                }
            })
            .await;
        scanned.map(|()| Scanned { unreadable: scan.unreadable, left, full: scan.full })
    }

    async fn scan(&self, scan: &mut Scan) -> Result<(), HandlerError> {
        let queue = self.parameters.queue_name;
        // What an earlier attempt had in hand when it was stopped is hidden for so long.
        let hidden = self.stores.queue.hidden_at_most() + WAIT;
        let mut receiver = self.stores.queue.receiver(queue, Side::DeadLetters, 1).await?;
        let mut last_new = Instant::now();
        while !scan.full {
            let deliveries = receiver.receive(BATCH, WAIT).await?;
            if deliveries.is_empty() {
                let seen = self.all_named_seen(scan) || last_new.elapsed() > hidden;
                if seen || self.stores.queue.depth(queue).await?.dead <= scan.left.len() as u64 {
                    return Ok(());
                }
            }
            // All are in hand before the first is looked at, so that an error gives all of them back.
            scan.add(deliveries);
            if scan.seen_again > scan.left.len() {
                return Ok(());
            }
            let jobs = scan.new_jobs();
            if jobs.is_empty() {
                continue;
            }
            last_new = Instant::now();
            scan.named.extend(jobs.iter().flatten().map(|job| job.job_id));
            let mut verdicts = vec![Taken::Left; jobs.len()];
            let taken = self.take_jobs(&jobs, &mut verdicts).await;
            // What is done with is so also where something else went wrong.
            let settled = join_all(scan.sort(verdicts).into_iter().map(Delivery::acknowledge)).await;
            taken?;
            settled.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Whether ids were given and a message of each has been seen.
    fn all_named_seen(&self, scan: &Scan) -> bool {
        match &self.parameters.message_ids {
            Some(ids) => ids.iter().all(|id| scan.named.contains(id)),
            // What is hidden from this scan is found in the store.
            None => true,
        }
    }
}

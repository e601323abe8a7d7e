//! Counting commands while they move from one partition to another: each once.

use std::collections::HashMap;

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::Select};

use super::{
    CommandStore, Filter, StoreError,
    item::key_of,
    list::{Partition, Span},
};
use crate::{command::Status, ids::CommandId, time::Timestamp};

/// Up to this many commands `total` is exact.
const CAP: u64 = 10_000;

/// How many commands a filter admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many; at most the cap.
    pub total: u64,
    /// Whether there are more than `total`.
    pub capped: bool,
}

/// What has been counted.
#[derive(Default)]
struct Tally {
    counted: u64,
    examined: u64,
    /// Those that may be met again, with when they were created.
    met: HashMap<CommandId, Timestamp>,
    is_capped: bool,
}

impl Tally {
    fn total(&self) -> u64 {
        self.counted + u64::try_from(self.met.len()).unwrap_or(u64::MAX)
    }

    /// Notes how many items a page has read, and whether to go on.
    fn examine(&mut self, scanned: i32, is_last: bool) {
        self.examined += u64::try_from(scanned).unwrap_or_default();
        self.is_capped = self.total() > CAP || (self.examined > CAP && !is_last);
    }

    fn end(&self) -> Count {
        Count { total: self.total().min(CAP), capped: self.is_capped }
    }
}

impl CommandStore {
    /// How many commands the filter admits: exactly, if no more than 10,000 have to be looked at.
    pub async fn count(&self, filter: &Filter) -> Result<Count, StoreError> {
        let mut tally = Tally::default();
        // Of a single partition none is met twice.
        if let [partition] = filter.partitions().as_slice() {
            self.add_count(self.query(partition, filter, Span::All), &mut tally).await?;
            return Ok(tally.end());
        }
        let (moving, ended): (Vec<Status>, Vec<Status>) =
            Status::ALL.into_iter().partition(|status| !status.is_final());
        // One that is given back to wait, after those that wait were read, is met in the second look.
        for _ in 0..2 {
            tally.examined = 0;
            for status in &moving {
                self.add_keys(self.query(&Partition::of(*status), filter, Span::All), &mut tally).await?;
            }
        }
        // What ends in the meantime was created no earlier than the oldest of these.
        let oldest = tally.met.values().min().copied();
        for partition in ended.into_iter().map(Partition::of) {
            let span = oldest.map_or(Span::All, Span::Before);
            self.add_count(self.query(&partition, filter, span), &mut tally).await?;
            if let Some(oldest) = oldest {
                self.add_keys(self.query(&partition, filter, Span::Since(oldest)), &mut tally).await?;
            }
        }
        Ok(tally.end())
    }

    /// Counts what a query finds, without reading it.
    async fn add_count(&self, query: QueryFluentBuilder, tally: &mut Tally) -> Result<(), StoreError> {
        let mut pages = query.select(Select::Count).into_paginator().send();
        while !tally.is_capped
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(StoreError::from_sdk)?;
            tally.counted += u64::try_from(page.count).unwrap_or_default();
            tally.examine(page.scanned_count, page.last_evaluated_key.is_none());
        }
        Ok(())
    }

    /// Counts what a query finds and has not been met.
    async fn add_keys(&self, query: QueryFluentBuilder, tally: &mut Tally) -> Result<(), StoreError> {
        let mut pages = query.projection_expression("command_id, created_at").into_paginator().send();
        while !tally.is_capped
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(StoreError::from_sdk)?;
            let keys = page.items.iter().flatten().filter_map(key_of);
            tally.met.extend(keys.map(|key| (key.command_id, key.created_at)));
            tally.examine(page.scanned_count, page.last_evaluated_key.is_none());
        }
        Ok(())
    }
}

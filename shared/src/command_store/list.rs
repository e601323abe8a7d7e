//! Listing, newest first, by queries on the indexes: never a scan.
//!
//! Commands sort by (created_at, command_id). An index sorts by created_at only, so a page is cut
//! where the time changes, and put in order here.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

use super::{
    CommandStore, Found, Item, StoreError,
    item::{key_of, to_commands},
    table::{INDEX_BY_STATUS, INDEX_BY_TENANT},
};
use crate::{
    command::{Command, CommandKey, Status},
    commands::CommandType,
    ids::{CommandId, TenantId},
    secrets::sha256_hex,
    time::{Timestamp, now, to_text},
};

/// How far `offset` reaches; a cursor reaches everything.
pub const MAX_OFFSET: u32 = 1_000;
/// How many items one query reads at most.
const READ_AT_MOST: usize = 500;
/// How many items are read for one page, however few of them the filter admits.
const EXAMINED_AT_MOST: usize = 2_000;
/// So many more than are wanted are read at once: what was created in the same millisecond as the last one counts too.
const BESIDES: usize = 8;

/// Which commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those that stand there.
    pub status: Option<Status>,
    /// Only those of that type.
    pub command_type: Option<CommandType>,
    /// Only those of that tenant.
    pub tenant_id: Option<TenantId>,
    /// Only those that this `sub` has sent.
    pub created_by: Option<String>,
    /// Only those whose message has died; or only the others.
    pub dead_letter: Option<bool>,
    /// Only those of this day, in UTC, and later ones.
    pub from: Option<NaiveDate>,
    /// Only those of this day and earlier ones.
    pub to: Option<NaiveDate>,
}

impl Filter {
    fn admits(&self, command: &Command) -> bool {
        self.status.is_none_or(|status| command.status == status)
            && self.command_type.is_none_or(|kind| command.command_type == kind)
            && self.tenant_id.is_none_or(|tenant| command.tenant_id == Some(tenant))
            && self.created_by.as_ref().is_none_or(|sub| command.created_by == *sub)
            && self.dead_letter.is_none_or(|dead| command.dead_letter == dead)
            && self.from.is_none_or(|day| command.key.created_at.date_naive() >= day)
            && self.to.is_none_or(|day| command.key.created_at.date_naive() <= day)
    }

    /// Tells filters apart, to bind a cursor to its own.
    fn fingerprint(&self) -> String {
        let mut text = format!(
            "{}|{}|{}",
            self.status.map_or("", Status::as_str),
            self.command_type.map_or("", CommandType::name),
            self.tenant_id.map(|tenant| tenant.to_string()).unwrap_or_default(),
        );
        // What is not asked for changes nothing, so that cursors of older builds lead on.
        if let Some(dead) = self.dead_letter {
            text.push_str(&format!("|dead {dead}"));
        }
        if let Some(day) = self.from {
            text.push_str(&format!("|from {day}"));
        }
        if let Some(day) = self.to {
            text.push_str(&format!("|to {day}"));
        }
        // It may hold anything, and so comes last.
        if let Some(sub) = &self.created_by {
            text.push_str(&format!("|by {sub}"));
        }
        sha256_hex(text.as_bytes()).chars().take(16).collect()
    }

    /// The index partitions that hold what is asked for; unfinished commands are asked first, so that
    /// one that moves on while the list is read is seen at least once.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        if let Some(tenant) = self.tenant_id {
            return vec![Partition { index: INDEX_BY_TENANT, key: "tenant_id", value: tenant.to_string() }];
        }
        match self.status {
            Some(status) => vec![Partition::of(status)],
            None if self.dead_letter == Some(true) => vec![Partition::of(Status::Error)],
            None => Status::ALL.into_iter().map(Partition::of).collect(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Partition {
    index: &'static str,
    key: &'static str,
    value: String,
}

impl Partition {
    pub(super) fn of(status: Status) -> Self {
        Self { index: INDEX_BY_STATUS, key: "status", value: status.as_str().to_owned() }
    }
}

/// A part of a partition, by when commands were created.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    All,
    UpTo(Timestamp),
    Before(Timestamp),
    Since(Timestamp),
}

impl Span {
    /// The first and the last millisecond of it that a filter admits.
    fn within(self, filter: &Filter) -> (Option<Timestamp>, Option<Timestamp>) {
        const LEAST: Duration = Duration::from_millis(1);
        let (since, up_to) = match self {
            Self::All => (None, None),
            Self::UpTo(at) => (None, Some(at)),
            Self::Before(at) => (None, Some(at - LEAST)),
            Self::Since(at) => (Some(at), None),
        };
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let first = filter.from.map(midnight);
        let last = filter.to.and_then(|day| day.succ_opt()).map(|day| midnight(day) - LEAST);
        (since.max(first), up_to.into_iter().chain(last).min())
    }
}

/// A place in a list: what comes after the command named by it. Opaque to clients, and bound to its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(CommandKey);

/// A text that is no cursor for this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor at all.
    #[error("must be a next_cursor of this list")]
    Malformed,
    /// A cursor of a list with another filter.
    #[error("belongs to a list with another filter; use it with the filter it came from")]
    OtherFilter,
}

#[derive(Serialize, Deserialize)]
struct CursorText {
    f: String,
    #[serde(flatten)]
    after: CommandKey,
}

impl Cursor {
    /// The place behind that command.
    pub fn behind(command: CommandKey) -> Self {
        Self(command)
    }

    /// The place before all that was created at that time or earlier.
    fn below(at: Timestamp) -> Self {
        let above = at + Duration::from_millis(1);
        Self(CommandKey { command_id: CommandId::from(uuid::Uuid::nil()), created_at: above })
    }

    /// The cursor as text, for that filter.
    pub fn encode(self, filter: &Filter) -> String {
        let text = CursorText { f: filter.fingerprint(), after: self.0 };
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&text).unwrap_or_default())
    }

    /// Reads a cursor that came from a list with that filter.
    pub fn decode(text: &str, filter: &Filter) -> Result<Self, CursorError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let cursor: CursorText = serde_json::from_slice(&bytes).map_err(|_| CursorError::Malformed)?;
        match cursor.f == filter.fingerprint() {
            true => Ok(Self(cursor.after)),
            false => Err(CursorError::OtherFilter),
        }
    }
}

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// The commands, newest first.
    pub commands: Vec<Command>,
    /// Where the list goes on, if it does.
    pub next: Option<Cursor>,
}

/// What has been read of a partition.
struct Read {
    found: Vec<Command>,
    /// All that was created after this has been read; the whole partition where there is none.
    down_to: Option<Timestamp>,
}

impl CommandStore {
    /// At most `limit` commands after `after`, or after skipping `offset`. Where a filter admits few of many, a page may
    /// hold less, and say where to go on.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        offset: usize,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let wanted = offset + limit + 1;
        let partitions = filter.partitions();
        // What is skipped has to be read as well.
        let budget = (EXAMINED_AT_MOST / partitions.len().max(1)).max(wanted + BESIDES);
        let mut found: HashMap<CommandId, Command> = HashMap::new();
        let mut down_to: Option<Timestamp> = None;
        for partition in partitions {
            let read = self.newest(&partition, filter, after, wanted, budget).await?;
            found.extend(read.found.into_iter().map(|command| (command.id(), command)));
            down_to = down_to.max(read.down_to);
        }
        self.add_unindexed(&mut found, filter).await?;
        let mut commands: Vec<Command> = found.into_values().collect();
        commands.retain(|command| after.is_none_or(|Cursor(key)| order(&command.key) < order(&key)));
        // Of what lies further down, another partition may hold what has not been read.
        commands.retain(|command| down_to.is_none_or(|cut| command.key.created_at > cut));
        commands.sort_by_key(|command| std::cmp::Reverse(order(&command.key)));
        let mut commands: Vec<Command> = commands.into_iter().skip(offset).take(limit + 1).collect();
        let more = commands.len() > limit;
        commands.truncate(limit);
        let last = commands.last().filter(|_| more).map(|command| Cursor(command.key));
        Ok(Page { commands, next: last.or(down_to.map(Cursor::below)) })
    }

    /// When the first of the dead commands of that type ended that are to be found among so many items of those in error.
    pub async fn oldest_dead(&self, kind: CommandType) -> Result<Option<Timestamp>, StoreError> {
        let filter = Filter { command_type: Some(kind), dead_letter: Some(true), ..Filter::default() };
        let partition = Partition::of(Status::Error);
        let (mut examined, mut from): (usize, Option<Item>) = (0, None);
        loop {
            let read = i32::try_from(READ_AT_MOST).unwrap_or(i32::MAX);
            let query = self.query(&partition, &filter, Span::All).scan_index_forward(true).limit(read);
            let answer = query.set_exclusive_start_key(from).send().await.map_err(StoreError::from_sdk)?;
            examined += usize::try_from(answer.scanned_count).unwrap_or_default();
            let dead = to_commands(answer.items.unwrap_or_default());
            if let Some(first) = dead.iter().filter_map(|command| command.completed_at).min() {
                return Ok(Some(first));
            }
            from = answer.last_evaluated_key;
            if from.is_none() || examined >= EXAMINED_AT_MOST {
                return Ok(None);
            }
        }
    }

    /// At least the `wanted` newest of a partition, with all that were created in the same millisecond as the last; or
    /// as many as are among about `budget` items.
    async fn newest(
        &self,
        partition: &Partition,
        filter: &Filter,
        after: Option<Cursor>,
        wanted: usize,
        budget: usize,
    ) -> Result<Read, StoreError> {
        let (mut found, mut examined): (Vec<Command>, usize) = (Vec::new(), 0);
        let mut from: Option<Item> = None;
        // Where a filter expression narrows what a query has read, little may be left of it.
        let narrowed = filter.command_type.is_some()
            || filter.created_by.is_some()
            || filter.dead_letter.is_some()
            || (filter.status.is_some() && partition.key != "status");
        let read = if narrowed { READ_AT_MOST } else { (wanted + BESIDES).min(READ_AT_MOST) };
        let read = i32::try_from(read).unwrap_or(i32::MAX);
        let span = after.map_or(Span::All, |Cursor(key)| Span::UpTo(key.created_at));
        loop {
            let query = self.query(partition, filter, span).limit(read).set_exclusive_start_key(from);
            let answer = query.send().await.map_err(StoreError::from_sdk)?;
            examined += usize::try_from(answer.scanned_count).unwrap_or_default();
            for command in to_commands(answer.items.unwrap_or_default()) {
                if after.is_none_or(|Cursor(key)| order(&command.key) < order(&key)) {
                    found.push(command);
                }
            }
            from = answer.last_evaluated_key;
            let enough = found
                .get(wanted.saturating_sub(1))
                .zip(found.last())
                .is_some_and(|(cut, last)| last.key.created_at < cut.key.created_at);
            let Some(reached) = from.as_ref().filter(|_| !enough) else { return Ok(Read { found, down_to: None }) };
            let reached = key_of(reached).map(|key| key.created_at);
            // A page must come further than the one before, however much was created in one millisecond.
            let further = reached.is_some_and(|at| after.is_none_or(|Cursor(key)| at < key.created_at));
            if examined >= budget && further {
                return Ok(Read { found, down_to: reached });
            }
        }
    }

    pub(super) fn query(&self, partition: &Partition, filter: &Filter, span: Span) -> QueryFluentBuilder {
        let mut keys = "#key = :key".to_owned();
        let mut admits = "#ttl > :now".to_owned();
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(partition.index)
            .scan_index_forward(false)
            .expression_attribute_names("#key", partition.key)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":key", AttributeValue::S(partition.value.clone()))
            .expression_attribute_values(":now", AttributeValue::N(now().timestamp().to_string()));
        let (from, to) = span.within(filter);
        let bound = |query: QueryFluentBuilder, name: &str, at| {
            query.expression_attribute_values(name, AttributeValue::S(to_text(at)))
        };
        match (from, to) {
            (None, None) => {}
            (Some(from), None) => {
                keys.push_str(" AND created_at >= :from");
                query = bound(query, ":from", from);
            }
            (None, Some(to)) => {
                keys.push_str(" AND created_at <= :to");
                query = bound(query, ":to", to);
            }
            // A range that ends before it begins is refused, and this one is empty too.
            (Some(from), Some(to)) if from > to => {
                keys.push_str(" AND created_at < :from");
                query = bound(query, ":from", Timestamp::UNIX_EPOCH);
            }
            (Some(from), Some(to)) => {
                keys.push_str(" AND created_at BETWEEN :from AND :to");
                query = bound(bound(query, ":from", from), ":to", to);
            }
        }
        if let Some(kind) = filter.command_type {
            admits.push_str(" AND command_type = :type");
            query = query.expression_attribute_values(":type", AttributeValue::S(kind.name().to_owned()));
        }
        if let Some(status) = filter.status.filter(|_| partition.key != "status") {
            admits.push_str(" AND #status = :status");
            query = query
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", AttributeValue::S(status.as_str().to_owned()));
        }
        if let Some(sub) = &filter.created_by {
            admits.push_str(" AND created_by = :by");
            query = query.expression_attribute_values(":by", AttributeValue::S(sub.clone()));
        }
        if let Some(dead) = filter.dead_letter {
            // It is stored of those alone that are.
            admits.push_str(if dead { " AND dead_letter = :dead" } else { " AND NOT dead_letter = :dead" });
            query = query.expression_attribute_values(":dead", AttributeValue::Bool(true));
        }
        query.key_condition_expression(keys).filter_expression(admits)
    }

    /// Adds this process's own latest creations that an index does not show yet.
    async fn add_unindexed(
        &self,
        found: &mut HashMap<CommandId, Command>,
        filter: &Filter,
    ) -> Result<(), StoreError> {
        let might_fit = Filter { status: None, dead_letter: None, ..filter.clone() };
        let recent = self.recent.unindexed().into_iter().filter(|recent| might_fit.admits(recent));
        let unseen: Vec<CommandKey> =
            recent.map(|recent| recent.key).filter(|key| !found.contains_key(&key.command_id)).collect();
        for stands in self.get_many(&unseen).await? {
            if let Found::Command(command) = stands
                && filter.admits(&command)
            {
                found.insert(command.id(), *command);
            }
        }
        Ok(())
    }
}

fn order(key: &CommandKey) -> (Timestamp, CommandId) {
    (key.created_at, key.command_id)
}

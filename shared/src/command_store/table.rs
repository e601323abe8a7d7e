//! The table's shape: made where it is missing, compared where it is not. Nothing of it is changed: all that is added is
//! the index of what is due, where a table has the other two.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexDescription, GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription,
    TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{
    CommandStore, StoreError,
    item::{DUE_AT, DUE_SHARD},
};
use crate::retry::reconnect_delays;

/// Commands of a tenant by time.
pub(super) const INDEX_BY_TENANT: &str = "tenant_id-created_at-index";
/// Commands of a status by time. A hot partition at great scale; the reads asked for need it.
pub(super) const INDEX_BY_STATUS: &str = "status-created_at-index";
/// What is due, by kind and time: sparse, as what has ended is not in it.
pub(super) const INDEX_BY_DUE: &str = "due_shard-due_at-index";
const TTL_ATTRIBUTE: &str = "ttl";

/// An index as it must be.
struct Index {
    name: &'static str,
    hash: &'static str,
    range: &'static str,
    projects: ProjectionType,
}

const INDEXES: [Index; 3] = [
    Index { name: INDEX_BY_TENANT, hash: "tenant_id", range: "created_at", projects: ProjectionType::All },
    Index { name: INDEX_BY_STATUS, hash: "status", range: "created_at", projects: ProjectionType::All },
    DUE,
];
const DUE: Index = Index { name: INDEX_BY_DUE, hash: DUE_SHARD, range: DUE_AT, projects: ProjectionType::KeysOnly };

/// How one property of the table differs from what the product needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The property.
    pub field: String,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// What [`CommandStore::migrate`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableState {
    /// It was missing and has been made.
    Created,
    /// It was from before the index of what is due, and has it now.
    IndexAdded,
    /// It is as it must be.
    Matches,
    /// It differs, and was left alone.
    Differs(Vec<Difference>),
}

impl CommandStore {
    /// Makes the table where it is missing, and the index of what is due where a table is from before it; otherwise
    /// compares it, field by field, and changes nothing.
    pub async fn migrate(&self) -> Result<TableState, StoreError> {
        let existed = self.describe().await?.is_some();
        if !existed {
            self.create_table().await?;
        }
        let mut found = self.await_active().await?;
        let mut differences = self.differences(&found);
        let added = differences.is_just(INDEX_BY_DUE, ABSENT);
        if added {
            self.add_due_index().await?;
            found = self.await_active().await?;
            differences = self.differences(&found);
        }
        match self.ttl_attribute().await? {
            // Missing, or a creation was interrupted before it came to this.
            None if differences.is_empty() => self.enable_ttl().await?,
            attribute => differences.compare("time to live", TTL_ATTRIBUTE, attribute.as_deref().unwrap_or("off")),
        }
        if differences.is_empty() && existed {
            self.adopt().await?;
        }
        Ok(match (existed, added, differences.is_empty()) {
            (_, _, false) => TableState::Differs(differences.0),
            (true, true, true) => TableState::IndexAdded,
            (true, false, true) => TableState::Matches,
            (false, _, true) => TableState::Created,
        })
    }

    async fn describe(&self) -> Result<Option<TableDescription>, StoreError> {
        match self.client.describe_table().table_name(&self.table).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
            Err(error) => Err(StoreError::from_sdk(error)),
        }
    }

    async fn create_table(&self) -> Result<(), StoreError> {
        let request = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(
                ["command_id", "created_at", "tenant_id", "status", DUE_SHARD, DUE_AT]
                    .into_iter()
                    .map(text_attribute)
                    .collect::<Result<_, _>>()?,
            ))
            .set_key_schema(Some(key_schema("command_id", "created_at")?))
            .set_global_secondary_indexes(Some(INDEXES.iter().map(index).collect::<Result<_, _>>()?))
            .stream_specification(
                StreamSpecification::builder()
                    .stream_enabled(true)
                    .stream_view_type(StreamViewType::NewAndOldImages)
                    .build()
                    .map_err(unbuildable)?,
            );
        match request.send().await {
            Ok(_) => Ok(()),
            // Another replica was faster.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(StoreError::from_sdk(error)),
        }
    }

    async fn add_due_index(&self) -> Result<(), StoreError> {
        let create = CreateGlobalSecondaryIndexAction::builder()
            .index_name(DUE.name)
            .set_key_schema(Some(key_schema(DUE.hash, DUE.range)?))
            .projection(Projection::builder().projection_type(DUE.projects).build())
            .build()
            .map_err(unbuildable)?;
        let answer = self
            .client
            .update_table()
            .table_name(&self.table)
            .attribute_definitions(text_attribute(DUE_SHARD)?)
            .attribute_definitions(text_attribute(DUE_AT)?)
            .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(create).build())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // Another replica was faster.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(StoreError::from_sdk(error)),
        }
    }

    async fn await_active(&self) -> Result<TableDescription, StoreError> {
        // An index of a large table takes its time.
        for delay in reconnect_delays().take(1_800) {
            let building =
                |index: &GlobalSecondaryIndexDescription| index.index_status == Some(IndexStatus::Creating);
            let active = |table: &TableDescription| {
                table.table_status == Some(TableStatus::Active)
                    && !table.global_secondary_indexes().iter().any(building)
            };
            if let Some(table) = self.describe().await?.filter(active) {
                return Ok(table);
            }
            tokio::time::sleep(delay).await;
        }
        Err(StoreError::NoTable(self.table.clone()))
    }

    async fn enable_ttl(&self) -> Result<(), StoreError> {
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL_ATTRIBUTE)
            .build()
            .map_err(unbuildable)?;
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map(|_| ())
            .map_err(StoreError::from_sdk)
    }

    fn differences(&self, found: &TableDescription) -> Comparison {
        let mut all = Comparison::default();
        all.compare("key schema", "command_id HASH, created_at RANGE", &keys_text(found.key_schema()));
        for Index { name, hash, range, projects } in &INDEXES {
            let index = found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(*name));
            let found = index.map_or_else(
                || ABSENT.to_owned(),
                |index| {
                    let projection = index.projection().and_then(Projection::projection_type);
                    format!(
                        "{}, projecting {}",
                        keys_text(index.key_schema()),
                        projection.map_or("nothing", ProjectionType::as_str)
                    )
                },
            );
            all.compare(name, &format!("{hash} HASH, {range} RANGE, projecting {}", projects.as_str()), &found);
        }
        let stream = found.stream_specification().and_then(StreamSpecification::stream_view_type);
        all.compare("stream", "NEW_AND_OLD_IMAGES", stream.map_or("off", StreamViewType::as_str));
        let billing = found.billing_mode_summary().and_then(|summary| summary.billing_mode());
        all.compare("billing mode", "PAY_PER_REQUEST", billing.map_or("PROVISIONED", BillingMode::as_str));
        all
    }

    /// The attribute that items expire by, if they do.
    async fn ttl_attribute(&self) -> Result<Option<String>, StoreError> {
        let answer = self
            .client
            .describe_time_to_live()
            .table_name(&self.table)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let on = answer.time_to_live_description.filter(|ttl| {
            matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
        });
        Ok(on.and_then(|ttl| ttl.attribute_name))
    }
}

/// What is found where an index is missing.
const ABSENT: &str = "absent";

#[derive(Default)]
struct Comparison(Vec<Difference>);

impl Comparison {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nothing differs but that one field, which is found to be so.
    fn is_just(&self, field: &str, found: &str) -> bool {
        matches!(self.0.as_slice(), [one] if one.field == field && one.found == found)
    }

    fn compare(&mut self, field: &str, expected: &str, found: &str) {
        if expected != found {
            self.0.push(Difference {
                field: field.to_owned(),
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        }
    }
}

fn keys_text(keys: &[KeySchemaElement]) -> String {
    let one = |key: &KeySchemaElement| format!("{} {}", key.attribute_name(), key.key_type().as_str());
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn text_attribute(name: &str) -> Result<AttributeDefinition, StoreError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .map_err(unbuildable)
}

/// `hash` as partition key, `range` as sort key.
fn key_schema(hash: &str, range: &str) -> Result<Vec<KeySchemaElement>, StoreError> {
    [(hash, KeyType::Hash), (range, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unbuildable)
        })
        .collect()
}

fn index(index: &Index) -> Result<GlobalSecondaryIndex, StoreError> {
    GlobalSecondaryIndex::builder()
        .index_name(index.name)
        .set_key_schema(Some(key_schema(index.hash, index.range)?))
        .projection(Projection::builder().projection_type(index.projects.clone()).build())
        .build()
        .map_err(unbuildable)
}

fn unbuildable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

//! What a REPROCESS_QUEUE takes, written down before it is touched: a second attempt goes on where the first stopped, and
//! no more are taken than were asked for.

use std::collections::HashSet;

use painel_shared::{command::CommandKey, db::Database, ids::CommandId};

use crate::{
    effects,
    handler::{Attempt, HandlerError},
};

/// The rows of one attempt's command.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub(super) db: &'a Database,
    pub(super) attempt: &'a Attempt,
    /// How many may be taken.
    pub(super) most: u32,
}

impl Ledger<'_> {
    fn command(&self) -> uuid::Uuid {
        self.attempt.stored.id().uuid()
    }

    /// Writes down that these are taken, as far as the count allows: those that are, now or from before.
    pub(super) async fn take(&self, targets: &[CommandKey]) -> Result<HashSet<CommandId>, HandlerError> {
        self.write("taken", targets).await
    }

    /// Writes down that these are skipped; one that was taken before stays so.
    pub(super) async fn skip(&self, targets: &[CommandKey]) -> Result<(), HandlerError> {
        self.write("skipped", targets).await.map(drop)
    }

    async fn write(&self, how: &str, targets: &[CommandKey]) -> Result<HashSet<CommandId>, HandlerError> {
        if targets.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<_> = targets.iter().map(|target| target.command_id.uuid()).collect();
        let times: Vec<_> = targets.iter().map(|target| target.created_at).collect();
        let write = async || {
            sqlx::query!(
                r#"SELECT given_up AS "given_up!", known FROM take_targets($1, $2, $3, $4, $5, $6)"#,
                self.command(),
                effects::fence(self.attempt.holder.fence),
                i64::from(self.most),
                how,
                &ids,
                &times,
            )
            .fetch_one(&self.db.service())
            .await
        };
        let row = self.db.step(write).await?;
        match row.given_up {
            true => Err(effects::fenced_off()),
            false => Ok(row.known.unwrap_or_default().into_iter().map(CommandId::from).collect()),
        }
    }

    /// Notes what became of some that were taken.
    pub(super) async fn note(&self, targets: &[CommandKey], outcome: &str) -> Result<(), HandlerError> {
        if targets.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = targets.iter().map(|target| target.command_id.uuid()).collect();
        let note = async || {
            sqlx::query!(
                "UPDATE reprocessed_commands SET outcome = $3
                 WHERE command_id = $1 AND target_command_id = ANY ($2)",
                self.command(),
                &ids,
                outcome,
            )
            .execute(&self.db.service())
            .await
        };
        self.db.step(note).await?;
        Ok(())
    }

    /// What an earlier attempt took, and of which it did not note what became.
    pub(super) async fn open(&self) -> Result<Vec<CommandKey>, HandlerError> {
        let open = async || {
            sqlx::query!(
                "SELECT target_command_id, target_created_at FROM reprocessed_commands
                 WHERE command_id = $1 AND outcome = 'taken'",
                self.command(),
            )
            .fetch_all(&self.db.service())
            .await
        };
        let rows = self.db.step(open).await?.into_iter();
        let key = |id: uuid::Uuid, created_at| CommandKey { command_id: id.into(), created_at };
        Ok(rows.map(|row| key(row.target_command_id, row.target_created_at)).collect())
    }

    /// How many were moved, and how many skipped.
    pub(super) async fn counts(&self) -> Result<(u64, u64), HandlerError> {
        let count = async || {
            sqlx::query!(
                r#"SELECT count(*) FILTER (WHERE outcome <> 'skipped') AS "moved!",
                          count(*) FILTER (WHERE outcome = 'skipped') AS "skipped!"
                   FROM reprocessed_commands WHERE command_id = $1"#,
                self.command(),
            )
            .fetch_one(&self.db.service())
            .await
        };
        let row = self.db.step(count).await?;
        Ok((row.moved.unsigned_abs(), row.skipped.unsigned_abs()))
    }
}

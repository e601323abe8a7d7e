//! Dead rollup runs: a run counts like a command, under its own id.

use painel_shared::{
    command::CommandKey,
    dispatch,
    ids::RunId,
    rollup::{self, RollupRun, RunState},
};

use super::{Run, Taken};
use crate::handler::HandlerError;

impl Run<'_> {
    /// Ends what an earlier attempt took and did not end.
    pub(super) async fn finish_taken_runs(&self, taken: Vec<CommandKey>) -> Result<(), HandlerError> {
        for key in taken {
            self.move_run(key, key.command_id.uuid().into()).await?;
        }
        Ok(())
    }

    pub(super) async fn take_run(&self, run_id: RunId) -> Result<Taken, HandlerError> {
        let Some(run) = self.find_run(run_id).await? else { return Ok(Taken::Left) };
        let key = CommandKey { command_id: run.id.uuid().into(), created_at: run.created_at };
        if run.state != RunState::Failed {
            self.ledger.skip(&[key]).await?;
            return Ok(Taken::Done);
        }
        if !self.run_died_before(&run) {
            return Ok(Taken::Left);
        }
        match self.ledger.take(&[key]).await?.is_empty() {
            true => Ok(Taken::Full),
            false => self.move_run(key, run_id).await.map(|()| Taken::Done),
        }
    }

    /// Moves a run that was taken; one whose day has another open run is skipped, for that one does the same.
    async fn move_run(&self, key: CommandKey, run_id: RunId) -> Result<(), HandlerError> {
        let moved = self.revive_run(run_id).await?;
        self.ledger.note(&[key], if moved { "moved" } else { "skipped" }).await
    }

    /// Gives a dead run new attempts and a new job; whether it has them, or had and used them up.
    async fn revive_run(&self, run_id: RunId) -> Result<bool, HandlerError> {
        let Some(mut run) = self.find_run(run_id).await? else { return Ok(false) };
        if self.run_died_before(&run) {
            let db = &self.stores.db;
            db.step(async || rollup::requeue(&db.service(), run_id).await).await?;
            let Some(again) = self.find_run(run_id).await? else { return Ok(false) };
            run = again;
        }
        if run.state == RunState::Queued {
            // What the queue does not take now, the reconciler publishes.
            dispatch::publish_run(self.stores, &run).await;
        }
        Ok(!self.run_died_before(&run))
    }

    async fn find_run(&self, run_id: RunId) -> Result<Option<RollupRun>, HandlerError> {
        let db = &self.stores.db;
        Ok(db.step(async || rollup::find(&db.service(), run_id).await).await?)
    }

    /// Whether a run is dead, and was before this command was sent.
    fn run_died_before(&self, run: &RollupRun) -> bool {
        run.state == RunState::Failed && run.finished_at.is_some_and(|at| at < self.began())
    }

    /// Goes through the runs that died and whose messages are gone.
    pub(super) async fn move_dead_runs(&self) -> Result<(), HandlerError> {
        let limit = i64::from(self.parameters.message_count);
        let db = &self.stores.db;
        for run in db.step(async || rollup::find_dead(&db.service(), self.began(), limit).await).await? {
            if matches!(self.take_run(run).await?, Taken::Full) {
                break;
            }
        }
        Ok(())
    }
}

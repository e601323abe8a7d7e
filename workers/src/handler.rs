//! What a handler is: the code of one command type.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use painel_shared::{
    command::{Command, CommandError},
    command_store::StoreError,
    commands::{CommandType, FieldError, Parameters, read},
    config::{ConfigError, Vars},
    db,
    ids::TenantId,
    queue::QueueError,
    stores::Stores,
    time::now,
};
use serde_json::{Map, Value};

use crate::{
    effects::Success,
    work::{Held, WorkError},
};

/// What a handler returns of a success: shown to whoever asks for the command.
pub type ResultMap = Map<String, Value>;

/// One attempt at a command, as its handler sees it: the command and the claim.
pub type Attempt = Held<Command>;

impl Attempt {
    /// The command's tenant: the API accepts no command without one whose type asks for it.
    pub fn tenant(&self) -> Result<TenantId, HandlerError> {
        let missing = || HandlerError::permanent("invalid_parameters", "the command names no tenant");
        self.stored.tenant_id.ok_or_else(missing)
    }

    /// Whether nobody has held the command before, and nobody else can hold it yet. Builds before there were fences counted
    /// attempts alone.
    pub(crate) fn is_the_first(&self) -> bool {
        self.holder.fence == 1
            && self.stored.attempt == 1
            && self.stored.lease_expires_at.is_some_and(|at| now() < at)
    }
}

/// The code of one command type.
pub trait Handler: Sized + Send + Sync + 'static {
    /// The type's parameters.
    type Parameters: Parameters;

    /// A handler with what it needs, from the environment.
    fn build(vars: &Vars, stores: &Stores) -> Result<Self, ConfigError>;

    /// Makes the effect, once: whoever comes first records it, and the others return what was recorded.
    fn handle(
        &self,
        attempt: &Attempt,
        parameters: Self::Parameters,
    ) -> impl Future<Output = Result<Success, HandlerError>> + Send;
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HandlerError {
    code: &'static str,
    message: String,
    retryable: bool,
    source: Option<anyhow::Error>,
}

impl HandlerError {
    /// A dependency did not do its part: worth another attempt.
    pub fn retryable(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true, source: None }
    }

    /// Another attempt would end the same.
    pub fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, source: None }
    }

    /// Keeps the cause, which is logged and never shown to a client.
    pub fn because(self, source: impl Into<anyhow::Error>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The cause with all its own causes, for the log.
    pub fn cause(&self) -> String {
        self.source.as_ref().map(|source| format!("{source:#}")).unwrap_or_default()
    }

    /// What PostgreSQL said, if that is the cause.
    pub(crate) fn of_database(&self) -> Option<&sqlx::Error> {
        self.source.as_ref()?.downcast_ref()
    }

    /// The error as it is stored with the command.
    pub fn to_stored(&self) -> CommandError {
        CommandError::new(self.code, &self.message, self.retryable)
    }
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        match db::is_permanent(&error) {
            true => Self::permanent("database_refused", "PostgreSQL refused the command's data or rights"),
            false => Self::retryable("database_unavailable", "PostgreSQL did not answer"),
        }
        .because(error)
    }
}

impl From<StoreError> for HandlerError {
    fn from(error: StoreError) -> Self {
        match error.is_permanent() {
            true => Self::permanent("command_store_refused", "the command store refused what was asked of it"),
            false => Self::retryable("command_store_unavailable", "the command store did not answer"),
        }
        .because(error)
    }
}

impl From<WorkError> for HandlerError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Store(error) => error.into(),
            WorkError::Database(error) => error.into(),
        }
    }
}

impl From<QueueError> for HandlerError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::TooLarge(_) => Self::permanent("message_too_large", error.to_string()),
            error => Self::retryable("queue_unavailable", "the queue did not answer").because(error),
        }
    }
}

type Run = dyn Fn(Attempt) -> BoxFuture<'static, Result<Success, HandlerError>> + Send + Sync;

/// A handler whose type has been forgotten, ready to run. Cheap to clone.
#[derive(Clone)]
pub struct AnyHandler {
    command_type: CommandType,
    run: Arc<Run>,
}

impl AnyHandler {
    /// Builds a handler and forgets its type.
    pub fn build<H: Handler>(vars: &Vars, stores: &Stores) -> Result<Self, ConfigError> {
        Ok(Self::new(H::build(vars, stores)?))
    }

    /// Forgets a handler's type.
    pub fn new<H: Handler>(handler: H) -> Self {
        let handler = Arc::new(handler);
        Self {
            command_type: CommandType::of::<H::Parameters>(),
            run: Arc::new(move |attempt| {
                let handler = Arc::clone(&handler);
                Box::pin(async move {
                    let parameters = read(attempt.stored.parameters.clone()).map_err(unreadable)?;
                    handler.handle(&attempt, parameters).await
                })
            }),
        }
    }

    /// The type it handles.
    pub fn command_type(&self) -> CommandType {
        self.command_type
    }

    /// Runs one attempt.
    pub fn run(&self, attempt: Attempt) -> BoxFuture<'static, Result<Success, HandlerError>> {
        (self.run)(attempt)
    }
}

impl fmt::Debug for AnyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyHandler").field(&self.command_type).finish()
    }
}

/// The API let parameters pass that this build does not understand: no attempt will help.
fn unreadable(errors: Vec<FieldError>) -> HandlerError {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    HandlerError::permanent("invalid_parameters", all.join("; "))
}

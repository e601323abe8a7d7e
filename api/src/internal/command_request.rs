//! What `POST /internal/operations/commands` is sent: the body, read field by field, and its key.

use actix_web::HttpRequest;
use painel_shared::{
    command::NewCommand,
    command_store::IdempotencyKey,
    commands::{CommandType, Fault, Field, FieldError, Fields, TenantRule},
    ids::TenantId,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{auth::Caller, observe, problem::ApiError, write};

const LONGEST_REASON: usize = 500;

/// What a command is made of.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// What is to be done.
    pub(crate) command_type: CommandTypeName,
    /// The tenant it is for; absent for REPROCESS_QUEUE, required for RESET_TOKEN and RESTART_AGENT.
    pub(crate) tenant_id: Option<Uuid>,
    /// `integration_id` for RESET_TOKEN; `agent_id` for RESTART_AGENT; `queue_name`, `message_count` and
    /// `message_ids` for REPROCESS_QUEUE; nothing for HEALTH_CHECK.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    pub(crate) parameters: Option<Map<String, Value>>,
    /// Why, in the operator's words.
    #[schema(max_length = 500)]
    pub(crate) reason: Option<String>,
}

/// The types of commands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandTypeName {
    /// Looks whether PostgreSQL, DynamoDB and the queue answer.
    HealthCheck,
    /// Gives an integration a new secret.
    ResetToken,
    /// Restarts a tenant's agent.
    RestartAgent,
    /// Brings dead letters back to their queue.
    ReprocessQueue,
}

/// Reads the body of a `POST`; every field that is wrong is named.
pub(crate) fn read_command(
    request: &HttpRequest,
    body: Map<String, Value>,
    caller: &Caller,
) -> Result<NewCommand, ApiError> {
    let mut fields = Fields::of("", body);
    let command_type = command_type(&mut fields);
    let outer_tenant = fields.optional::<TenantId>("tenant_id");
    let mut parameters: Map<String, Value> = fields.optional("parameters").unwrap_or_default();
    let reason = fields.optional::<String>("reason");
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
        fields.refuse("reason", Fault::TooLong { max: LONGEST_REASON });
    }
    let inner_tenant = parameters.remove("tenant_id");
    let (command_type, tenant_id, parameters, mut errors) = match fields.finish(command_type) {
        Ok(command_type) => match command_type.normalise(parameters) {
            Ok(parameters) => (command_type, outer_tenant, parameters, Vec::new()),
            Err(errors) => (command_type, outer_tenant, Map::new(), errors),
        },
        Err(errors) => return Err(ApiError::Validation(errors)),
    };
    let tenant_id = agreed_tenant(command_type, tenant_id, inner_tenant, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::Validation(errors));
    }
    Ok(NewCommand {
        command_type,
        tenant_id,
        parameters,
        reason,
        created_by: caller.sub.clone(),
        created_by_email: caller.email.clone(),
        traceparent: observe::trace(request),
    })
}

fn command_type(fields: &mut Fields) -> Option<CommandType> {
    let name = fields.required::<String>("command_type")?;
    let known = CommandType::named(&name);
    if known.is_none() {
        fields.refuse("command_type", unknown_type());
    }
    known
}

/// What is wrong with the name of a type that nobody knows.
pub(super) fn unknown_type() -> Fault {
    Fault::not_one_of(CommandType::all().map(CommandType::name))
}

/// The tenant, which may stand beside `parameters` or inside: both must agree, and with the type's rule.
fn agreed_tenant(
    kind: CommandType,
    outer: Option<TenantId>,
    inner: Option<Value>,
    errors: &mut Vec<FieldError>,
) -> Option<TenantId> {
    let inner = match inner {
        None | Some(Value::Null) => None,
        Some(value) => match <TenantId as Field>::from_value(&value) {
            Some(tenant) => Some(tenant),
            None => {
                errors.push(FieldError::new("parameters.tenant_id", Fault::NotAUuid));
                return outer;
            }
        },
    };
    if let (Some(outer), Some(inner)) = (outer, inner)
        && outer != inner
    {
        errors.push(FieldError::new("parameters.tenant_id", Fault::Disagrees { with: "tenant_id" }));
    }
    let tenant = outer.or(inner);
    match (kind.tenant_rule(), tenant) {
        (TenantRule::Required, None) => {
            errors.push(FieldError::new("tenant_id", Fault::Required { expected: "a UUID" }));
        }
        (TenantRule::Absent, Some(_)) => {
            errors.push(FieldError::new("tenant_id", Fault::NotForPlatform { command_type: kind.name() }));
        }
        _ => {}
    }
    tenant
}

/// The `Idempotency-Key`, bound to its caller and to what the request asks for.
pub(super) fn idempotency_key(
    request: &HttpRequest,
    caller: &Caller,
    new: &NewCommand,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let key = write::key(request)?;
    key.map(|key| idempotency_key_of(key, caller, new)).transpose()
}

/// The same of that text.
pub(crate) fn idempotency_key_of(
    text: &str,
    caller: &Caller,
    new: &NewCommand,
) -> Result<IdempotencyKey, ApiError> {
    write::check_key(text)?;
    let asked = json!({
        "command_type": new.command_type,
        "tenant_id": new.tenant_id,
        "parameters": new.parameters,
        "reason": new.reason,
    });
    Ok(IdempotencyKey::new(&caller.sub, text, asked.to_string().as_bytes()))
}

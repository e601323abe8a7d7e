//! Handlers and the frame they run in.

mod effects;
mod exchanges;
mod frame;
mod health_check;
mod reconciler;
pub(crate) mod reprocess_queue;
mod reset_token;
mod restart_agent;

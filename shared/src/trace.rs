//! W3C Trace Context: one trace from an HTTP request through the queue to the handler.
//!
//! Only `traceparent` is carried (<https://www.w3.org/TR/trace-context/#traceparent-header>).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A position in a trace: the trace's id and the id of the span that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

/// The text was no `traceparent` of a version that can be read.
#[derive(Debug, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct InvalidTraceparent;

impl TraceContext {
    /// The start of a new trace.
    pub fn root() -> Self {
        Self { trace_id: Uuid::new_v4().as_u128(), span_id: fresh_span(), sampled: true }
    }

    /// A new span in the same trace.
    pub fn child(self) -> Self {
        Self { span_id: fresh_span(), ..self }
    }

    /// The trace's id as 32 hexadecimal digits, as logs show it.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// Eight random bytes that are not all zero (a v4 UUID's variant bits are never zero).
fn fresh_span() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.to_string()
    }
}

impl TryFrom<String> for TraceContext {
    type Error = InvalidTraceparent;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut field = |digits: usize| {
            parts
                .next()
                .filter(|part| part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        };
        let (version, trace, span, flags) = (field(2), field(32), field(16), field(2));
        let version = version.filter(|version| *version != "ff").ok_or(InvalidTraceparent)?;
        // A later version may append fields; version 00 may not.
        if version == "00" && parts.next().is_some() {
            return Err(InvalidTraceparent);
        }
        let number = |part: Option<&str>| {
            part.and_then(|part| u128::from_str_radix(part, 16).ok()).ok_or(InvalidTraceparent)
        };
        let (trace_id, span_id, flags) = (number(trace)?, number(span)?, number(flags)?);
        let span_id = u64::try_from(span_id).map_err(|_| InvalidTraceparent)?;
        if trace_id == 0 || span_id == 0 {
            return Err(InvalidTraceparent);
        }
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

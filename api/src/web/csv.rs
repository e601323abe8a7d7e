//! A list as a file: all of it, part by part, as the reader's spreadsheet takes it (RFC 4180; in Portuguese with semicolons,
//! decimal commas and a byte order mark).

use std::{future::Future, rc::Rc, time::Duration};

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{ContentDisposition, ContentType, DispositionParam, DispositionType},
    },
    web::Bytes,
};
use csv::WriterBuilder;
use futures::stream::try_unfold;
use painel_shared::events::{Event, record};

use super::{
    format::Format,
    href::Href,
    table::{Cell, Column, Row},
    texts::Language,
    visit::Visit,
};
use crate::{observe, problem::ApiError, query::QueryFields};

/// No file has more rows.
const MOST: usize = 100_000;
/// So many rows are asked for at once: as many as an endpoint gives.
pub(super) const PART: &str = "100";
/// How often a part is asked for again where there was no turn for it, and after how long.
const TRIES: u32 = 60;
const AGAIN: Duration = Duration::from_millis(250);
/// By this parameter a page is asked for as a file.
pub(super) const FORMAT: &str = "format";

/// A part of a list: its rows, and where the next one begins.
pub(super) struct Part {
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<String>,
}

impl Part {
    /// Of a list that is read by an offset: those rows, of `total`, after which the next ones begin at `next`.
    pub(super) fn by_offset(rows: Vec<Row>, next: i64, total: i64) -> Self {
        Self { rows, next: (next < total).then(|| next.to_string()) }
    }
}

/// Where the list of that page is to be had as a file.
pub(super) fn href(here: &Href) -> String {
    here.without("offset").without("cursor").with(FORMAT, "csv").to_string()
}

/// What is asked for the next part of a list that leads on by a cursor.
pub(super) fn after(visit: &Visit, cursor: Option<&str>) -> QueryFields {
    let fields = visit.fields().with("limit", PART);
    match cursor {
        Some(cursor) => fields.with("cursor", cursor),
        None => fields.without("cursor"),
    }
}

/// Whether a page is asked for as a file.
pub(super) fn is_wanted(visit: &Visit) -> bool {
    // Whoever asks for the head alone is given the page's: no file is made for nobody.
    visit.request.method() != Method::HEAD && Href::of(&visit.request).get(FORMAT) == Some("csv")
}

/// How far a file has been written.
enum State {
    Begun(Part),
    Written { next: String, rows: usize },
    Ended,
}

/// The file of a list, whose parts `find` finds. What somebody of the company takes away is recorded before.
pub(super) async fn file<Found>(
    visit: Visit,
    name: &'static str,
    columns: Vec<Column>,
    find: fn(Rc<Visit>, Option<String>) -> Found,
) -> Result<HttpResponse, ApiError>
where
    Found: Future<Output = Result<Part, ApiError>> + 'static,
{
    let visit = Rc::new(visit);
    // What is wrong with the question is told as on the page.
    let first = find(Rc::clone(&visit), None).await?;
    if visit.caller.is_internal() {
        let (caller, origin) = (&visit.caller, observe::origin(&visit.request));
        let query = visit.request.query_string();
        let event = Event::exported(name, query, &caller.sub, caller.email.as_deref(), origin);
        record(&visit.state.stores.db, &[event]).await?;
    }
    let columns = Rc::new(columns);
    let lines = try_unfold(State::Begun(first), move |state| {
        let (visit, columns) = (Rc::clone(&visit), Rc::clone(&columns));
        async move {
            let format = visit.format();
            let (part, rows, mut text) = match state {
                State::Begun(part) => {
                    let head = heading(format, &columns, &part)?;
                    (part, 0, head)
                }
                State::Written { next, rows } => (patiently(&visit, &next, find).await?, rows, Vec::new()),
                State::Ended => return Ok::<_, ApiError>(None),
            };
            let plain =
                part.rows.iter().map(|row| row.cells.iter().map(|cell| harmless(cell.plain(format))).collect());
            text.extend(written(format, plain)?);
            let rows = rows + part.rows.len();
            let state = match part.next {
                Some(_) if rows >= MOST => {
                    text.extend(written(format, std::iter::once(vec![visit.t().table.cut_off.to_owned()]))?);
                    State::Ended
                }
                Some(next) => State::Written { next, rows },
                None => State::Ended,
            };
            Ok(Some((Bytes::from(text), state)))
        }
    });
    let named = DispositionParam::Filename(format!("{name}.csv"));
    Ok(HttpResponse::Ok()
        .insert_header(ContentType("text/csv; charset=utf-8".parse().map_err(|_| failed("no media type"))?))
        .insert_header(ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![named] })
        .streaming(Box::pin(lines)))
}

/// A later part: a file that has begun waits for its turn, and is not cut short where others ask much.
async fn patiently<Found>(
    visit: &Rc<Visit>,
    next: &str,
    find: fn(Rc<Visit>, Option<String>) -> Found,
) -> Result<Part, ApiError>
where
    Found: Future<Output = Result<Part, ApiError>>,
{
    let mut tries = 0;
    loop {
        match find(Rc::clone(visit), Some(next.to_owned())).await {
            Err(ApiError::Overloaded | ApiError::RateLimited(_) | ApiError::TooManyAtOnce(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

/// The columns' names, with their units.
fn heading(format: Format, columns: &[Column], part: &Part) -> Result<Vec<u8>, ApiError> {
    let unit = |place: usize| {
        let cells = part.rows.iter().filter_map(|row| row.cells.get(place));
        cells.map(Cell::unit).find(Option::is_some).flatten()
    };
    let names = columns.iter().enumerate().map(|(place, column)| match unit(place) {
        Some(unit) => format!("{} ({unit})", column.label),
        None => column.label.to_owned(),
    });
    // Without it, spreadsheets take the file for another encoding.
    let mark = if format.language == Language::Portuguese { "\u{feff}" } else { "" };
    let mut text = mark.as_bytes().to_vec();
    text.extend(written(format, std::iter::once(names.collect()))?);
    Ok(text)
}

fn written(format: Format, lines: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, ApiError> {
    let delimiter = if format.language == Language::Portuguese { b';' } else { b',' };
    let mut writer = WriterBuilder::new().delimiter(delimiter).flexible(true).from_writer(Vec::new());
    for line in lines {
        writer.write_record(&line).map_err(|error| failed(&error.to_string()))?;
    }
    writer.into_inner().map_err(|error| failed(&error.to_string()))
}

/// What a spreadsheet would take for a formula is text: but for a number's own sign.
fn harmless(text: String) -> String {
    let is_number = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.')));
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number {
        true => format!("'{text}"),
        false => text,
    }
}

fn failed(cause: &str) -> ApiError {
    ApiError::Failed(cause.to_owned())
}
